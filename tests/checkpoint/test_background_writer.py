import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

from fitx import checkpoint
from fitx.checkpoint.background_writer import Writer
from fitx.errors import StorageError

ENDLESS = """
import os, signal, sys, threading
from fitx.checkpoint.background_writer import Writer
writer, begun = Writer(), threading.Event()

def write():
    begun.set()
    os.read(os.pipe()[0], 1)

writer.write(write)
begun.wait()
print("writing", flush=True)
"""


@pytest.fixture
def gate():
    """Tasks that return `folder` only when the gate is opened."""

    class Gate(threading.Event):
        def task(self, folder):
            return lambda: self.wait() and Path(folder)

    gate = Gate()
    yield gate
    gate.set()


def refused():
    raise StorageError("cannot write checkpoint x: No space left on device.")


def ended(*tasks):
    """A writer whose last task has ended, unasked for."""
    writer = Writer()
    for task in tasks:
        writer.write(task)
    while writer.is_busy:
        pass
    return writer


def test_a_task_runs_beside_its_caller(gate):
    writer = Writer()
    writer.write(gate.task("000001"))
    assert writer.is_busy
    assert writer.folder is None
    gate.set()
    assert writer.wait() == writer.wait() == writer.folder == Path("000001")
    assert not writer.is_busy


def test_nothing_written_is_nothing_to_wait_for():
    writer = Writer()
    writer.check()
    assert writer.wait() is None
    assert (writer.is_busy, writer.seconds) == (False, 0.0)


def test_a_second_task_waits_for_the_first(gate):
    writer, order = Writer(), []

    def first():
        gate.wait()
        order.append(1)
        return Path("1")

    writer.write(first)
    threading.Timer(0.05, gate.set).start()
    writer.write(lambda: order.append(2) or Path("2"))
    assert order[0] == 1
    assert writer.folder == Path("1")
    assert writer.wait() == Path("2")
    assert order == [1, 2]


def test_it_tells_how_long_the_last_task_took(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("fitx.checkpoint.background_writer.time.perf_counter", lambda: clock[0])

    def lasting(seconds):
        clock[0] += seconds
        return Path("1")

    writer = Writer()
    for seconds in (3.0, 0.5):
        writer.write(lambda seconds=seconds: lasting(seconds))
        writer.wait()
        assert writer.seconds == seconds


@pytest.mark.parametrize("ask", [Writer.wait, Writer.check, lambda w: w.write(lambda: Path("3"))])
def test_a_failure_is_raised_once_by_whatever_is_asked_next(ask):
    writer = ended(lambda: Path("1"), refused)
    with pytest.raises(StorageError, match="No space left on device"):
        ask(writer)
    writer.check()
    assert writer.wait() == Path("1")


def test_after_a_failure_the_next_task_is_not_begun_and_the_one_after_is():
    writer, begun = ended(refused), []
    with pytest.raises(StorageError):
        writer.write(lambda: begun.append(1))
    assert writer.wait() is None
    assert begun == []
    writer.write(lambda: Path("2"))
    assert writer.wait() == Path("2")


def test_a_check_does_not_wait(gate):
    writer = Writer()
    writer.write(gate.task("1"))
    writer.check()
    assert writer.is_busy


def test_a_task_may_raise_anything():
    with pytest.raises(SystemExit):
        ended(sys.exit).wait()


def test_an_interrupted_wait_loses_neither_the_task_nor_its_failure(gate):
    def slow():
        gate.wait()
        refused()

    writer = Writer()
    writer.write(slow)
    with pytest.raises(KeyboardInterrupt):
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        writer.wait()
    assert writer.is_busy
    gate.set()
    with pytest.raises(StorageError):
        writer.wait()


def test_a_state_is_let_go_when_it_is_written():
    state = {"a": np.ones(3)}
    watched = weakref.ref(state["a"])
    task = (lambda held: lambda: Path(str(len(held))))(state)
    writer = ended(task)
    del state, task
    gc.collect()
    assert watched() is None
    assert writer.wait() == Path("1")


def test_checkpoints_are_as_if_written_directly(tmp_path):
    writer = Writer()
    for step in range(5):
        state = {"a": np.full(1000, step)}
        writer.write(lambda step=step, state=state: checkpoint.save(tmp_path, step, state, {}, 2))
    assert writer.wait() == tmp_path / "000004"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000003", "000004"]
    assert checkpoint.newest(tmp_path).state["a"].tolist() == [4] * 1000


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("raise ValueError('mine')", 1),
        ("sys.exit(7)", 7),
        ("os._exit(9)", 9),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("pass", 0),
    ],
)
def test_a_disk_that_hangs_holds_up_no_end_of_the_process(end, code):
    command = [sys.executable, "-c", ENDLESS + end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.returncode) == ("writing\n", code)
    assert ("mine" in done.stderr) == (code == 1)
    assert "Fatal" not in done.stderr
