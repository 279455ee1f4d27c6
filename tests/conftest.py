import gc
import os
import sys

import pytest


@pytest.fixture(scope="session")
def times():
    """How often to try something: `times(8, 200)` is 8, and 200 in `make soak`."""
    return lambda small, large: large if os.environ.get("FITX_SOAK") else small


@pytest.fixture(autouse=True)
def precision():
    """Put back the precision that a test has set for its process."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def out_of_the_collectors_way():
    """Let the garbage collector pass over the graphs that a module's tests leave behind.

    Else it walks through more and more of them, which in the end takes most of the time of tests
    that make many small objects.
    """
    yield
    gc.freeze()
