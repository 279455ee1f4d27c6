import os
import signal
import sys
import time
from pathlib import Path

import pytest

from fitx.errors import Interrupted
from fitx.training.child_process import (
    ChildFailed,
    EndedProcess,
    KilledFromOutside,
    run,
)
from fitx.training.signals import StopRequest, listening

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
    """A command that starts a process of its own, and the file to which it writes its id."""
    return python(PARENT, tmp_path / "pid"), tmp_path / "pid"


def test_the_exit_code_and_standard_error_of_a_process_are_returned(tmp_path):
    text = "import sys; print('out'); print(' in the end ', file=sys.stderr); sys.exit(7)"
    assert run(python(text), tmp_path, StopRequest()) == EndedProcess(7, "in the end")


def test_temporary_files_of_a_process_are_in_the_given_folder(tmp_path):
    command = python("import tempfile; tempfile.mkstemp()")
    assert run(command, tmp_path, StopRequest()).code == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_a_process_that_ends_first_is_not_killed(tmp_path):
    ended = run(python("raise SystemExit(3)"), tmp_path, StopRequest(), lambda: False)
    assert (ended.code, ended.is_killed) == (3, False)


def test_a_process_is_killed_with_those_it_started_some_time_after_the_condition_holds(nested):
    command, file = nested
    times = []

    def has_started():
        if file.exists() and file.read_text():
            times.append(time.monotonic())
        return bool(times)

    ended = run(command, file.parent, StopRequest(), has_started, delay=0.2)
    assert (ended.code, ended.is_killed) == (-signal.SIGKILL, True)
    assert time.monotonic() - times[0] >= 0.2
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
        with pytest.raises(Interrupted) as error, listening() as stop:
            run(command, file.parent, stop, ask)
    finally:
        signal.signal(number, before)
    assert str(error.value) == f"stopped by {number.name}."
    assert error.value.exit_code == 128 + number
    assert ends(int(file.read_text()))


@pytest.mark.parametrize(
    ("ended", "may_stop"),
    [
        (EndedProcess(0, ""), False),
        (EndedProcess(-9, "", is_killed=True), False),
        (EndedProcess(143, ""), True),
    ],
)
def test_an_end_that_the_self_test_has_asked_for_is_no_error(ended, may_stop):
    ended.check(may_stop=may_stop)


@pytest.mark.parametrize("code", [-9, 143])
def test_a_signal_that_the_self_test_did_not_send_is_not_blamed_on_the_training(code):
    with pytest.raises(KilledFromOutside) as error:
        EndedProcess(code, "").check()
    name = {-9: "SIGKILL", 143: "SIGTERM"}[code]
    assert str(error.value) == (
        f"a training was ended by a {name} that fitx did not send, so nothing is proved. "
        "The machine may be out of memory. Run the test again."
    )


@pytest.mark.parametrize(
    ("ended", "text", "code"),
    [
        (EndedProcess(3, "bad data\nrun: runs/x"), "bad data", 3),
        (EndedProcess(-11, ""), "a training ended with exit code -11.", 139),
    ],
)
def test_a_failure_keeps_its_message_and_exit_code(ended, text, code):
    with pytest.raises(ChildFailed) as error:
        ended.check(may_stop=True)
    assert (str(error.value), error.value.exit_code) == (text, code)
