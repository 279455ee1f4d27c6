import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("driver.py")
CODES = ("ENOSPC", "EIO", "EDQUOT", "EROFS")


@pytest.fixture(autouse=True)
def _without_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def act(tmp_path):
    """Let a scenario of driver.py be acted: `act("faults", "save", "kill before", ...)`."""

    def act(what, scenario, *kinds):
        command = [sys.executable, str(DRIVER), what, scenario, str(tmp_path), *kinds]
        # The driver forks, which only a process without further threads should.
        alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=alone)
        assert done.stderr == ""
        return [json.loads(line) for line in done.stdout.splitlines()]

    return act


@pytest.fixture
def faults(act):
    """Every case of a scenario under a kind of fault; the last, in which nothing fails, apart."""

    def faults(scenario, *kinds):
        cases = act("faults", scenario, *kinds)
        unharmed = [case for case in cases if "fired" not in case]
        assert len(unharmed) == len(kinds)
        assert all(case["status"] == 0 and "error" not in case for case in unharmed)
        harmed = [case for case in cases if "fired" in case]
        for case in harmed:
            case["folder"] = Path(case["folder"])
            assert case["status"] == (-9 if case["kind"].startswith("kill") else 0), case
        return harmed

    return faults


@pytest.fixture
def kills():
    return ("kill before", "kill after")


@pytest.fixture
def errors(times):
    """Kinds of errors: each code in `make soak`, else those whose handling may differ."""
    every = [f"{code} {how}" for code in CODES for how in ("once", "always")]
    return ("cut", *times(["ENOSPC once", "EIO always"], every))


@pytest.fixture
def reason():
    """The system's words for the error of a case."""
    return lambda kind: os.strerror(getattr(errno, kind.split()[0].replace("cut", "ENOSPC")))
