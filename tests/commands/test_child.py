import os
import signal
import sys
import time
from pathlib import Path

import pytest

from fitx.commands.selftest.child import KILLED, Ended, ended_by_signals, run
from fitx.errors import Interrupted

PARENT = """
import subprocess, sys
child = subprocess.Popen(["sleep", "60"])
open(sys.argv[1], "w").write(str(child.pid))
child.wait()
"""


def python(text, *words):
    return [sys.executable, "-c", text, *map(str, words)]


def ends(pid):
    """Whether a process ends; one that was killed takes a moment."""
    state = Path(f"/proc/{pid}/stat")
    for _ in range(2000):
        try:
            if state.read_text().split()[2] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def nested(tmp_path):
    """A command that starts a process of its own, and the file in which it says which."""
    return python(PARENT, tmp_path / "pid"), tmp_path / "pid"


def test_a_process_tells_its_code_and_what_it_said(tmp_path):
    text = "import sys; print('out'); print(' in the end ', file=sys.stderr); sys.exit(7)"
    assert run(python(text), tmp_path) == Ended(7, "in the end")


def test_what_a_process_leaves_in_the_temporary_folder_is_in_the_one_it_was_given(tmp_path):
    assert run(python("import tempfile; tempfile.mkstemp()"), tmp_path).code == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_a_process_that_ends_before_it_is_to_be_killed_is_not_killed(tmp_path):
    assert run(python("raise SystemExit(3)"), tmp_path, lambda: False).code == 3


def test_a_process_is_killed_with_those_it_started_when_it_is_time(nested):
    command, file = nested
    ended = run(command, file.parent, lambda: file.exists() and file.read_text() != "")
    assert ended.code == KILLED
    assert ends(int(file.read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_process_and_those_it_started(nested, number):
    command, file = nested

    def ask():
        if file.exists() and file.read_text():
            os.kill(os.getpid(), number)
        return False

    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(Interrupted) as error, ended_by_signals():
            run(command, file.parent, ask)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert str(error.value) == f"stopped by {number.name}."
    assert error.value.exit_code == 128 + number
    assert ends(int(file.read_text()))


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGHUP, before)
