import os

import pytest


@pytest.fixture(scope="session")
def times():
    """How often to try something: `times(8, 200)` is 8, and 200 in `make soak`."""
    return lambda small, large: large if os.environ.get("FITX_SOAK") else small
