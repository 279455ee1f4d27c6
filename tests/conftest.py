import gc
import json
import os
import signal
import sys
from pathlib import Path

import pytest

RECORD = json.loads(Path(__file__).with_name("run_record.json").read_text())


def pytest_configure():
    """Let the tests' processes hear of signals, however the tests were started.

    A script's `&` starts its commands with SIGINT ignored, `nohup` with SIGHUP, and what is ignored
    is inherited; what is handled is not. Hang-ups and terminations go on doing nothing here.
    """
    handlers = dict.fromkeys((signal.SIGHUP, signal.SIGTERM), lambda *_: None)
    for number, handler in {signal.SIGINT: signal.default_int_handler, **handlers}.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def times():
    """How often to try something: `times(8, 200)` is 8, and 200 in `make soak`."""
    return lambda small, large: large if os.environ.get("FITX_SOAK") else small


@pytest.fixture(scope="session")
def whole_record():
    """Return what run.json says of a run, but for its status; with some of it changed."""
    return lambda **facts: {**RECORD, **facts}


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
