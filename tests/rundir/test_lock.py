import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from fitx.errors import BusyError, StorageError
from fitx.rundir import lock

HOLDER = """
import sys, time
from pathlib import Path
from fitx.rundir import lock
with lock.hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

FORKING_HOLDER = """
import os, sys, time
from pathlib import Path
from fitx.rundir import lock
with lock.hold(Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    else:
        os.close(1)
    time.sleep(600)
"""

RACER = """
import sys
from pathlib import Path
from fitx.errors import BusyError
from fitx.rundir import lock
sys.stdin.readline()
try:
    with lock.hold(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
except BusyError as error:
    print(error)
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_holder_is_written_to_the_file(tmp_path):
    with lock.hold(tmp_path):
        about = json.loads((tmp_path / "run.lock").read_text())
    assert about["pid"] == os.getpid()
    assert about["host"] == socket.gethostname()


def test_a_second_writer_is_refused_at_once_and_told_who_holds_it(tmp_path, holder):
    started = time.monotonic()
    with pytest.raises(BusyError) as error, lock.hold(tmp_path):
        pass

    assert time.monotonic() - started < 20
    assert re.fullmatch(
        rf"{re.escape(str(tmp_path))} is in use by process {holder.pid} on "
        rf"{re.escape(socket.gethostname())} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. "
        r"Wait until it ends, or stop it\.",
        str(error.value),
    )


def test_the_lock_dies_with_its_process(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    with lock.hold(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()


def test_the_lock_dies_with_its_process_though_one_that_it_forked_lives(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING_HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    child = int(process.stdout.readline())
    try:
        assert lock.is_held(tmp_path)
        process.kill()
        process.wait()
        process.stdout.close()
        with lock.hold(tmp_path):
            os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_lock_can_be_taken_again_after_it_was_given_back(tmp_path):
    for _ in range(3):
        with lock.hold(tmp_path):
            pass


def test_an_error_inside_gives_the_lock_back(tmp_path):
    with pytest.raises(KeyError), lock.hold(tmp_path):
        raise KeyError
    with lock.hold(tmp_path):
        pass


def test_of_several_that_start_together_exactly_one_holds(tmp_path):
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    pipe = subprocess.PIPE
    racers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    deadline = time.monotonic() + 100
    while sum(racer.poll() is None for racer in racers) > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    said = [racer.communicate()[0].strip() for racer in racers]
    winner = racers[said.index("held")].pid

    assert said.count("held") == 1
    assert sum(f"in use by process {winner} on" in words for words in said) == 3


def test_a_link_in_place_of_the_lock_is_refused_and_its_target_untouched(tmp_path):
    target = tmp_path / "precious"
    target.write_text("data")
    (tmp_path / "run.lock").symlink_to(target)

    with pytest.raises(StorageError) as error, lock.hold(tmp_path):
        pass
    assert str(error.value) == (
        f"cannot lock {tmp_path}/run.lock: Too many levels of symbolic links"
    )
    assert target.read_text() == "data"


def test_a_missing_run_folder_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError) as error, lock.hold(tmp_path / "gone"):
        pass
    path = tmp_path / "gone" / "run.lock"
    assert str(error.value) == f"cannot lock {path}: No such file or directory"


def test_half_written_files_of_a_killed_writer_are_removed(tmp_path):
    (tmp_path / ".tmp-123-abcd").write_text("half")
    (tmp_path / "run.json").write_text("{}")

    with lock.hold(tmp_path):
        assert {p.name for p in tmp_path.iterdir()} == {"run.json", "run.lock"}


@pytest.mark.parametrize(
    "content", ["[1]", "[" * 4096, '{"pid": "\x1b[2J", "host": "a", "since": "b"}', '{"pid": 1}']
)
def test_an_unreadable_lock_file_still_says_busy(tmp_path, holder, content):
    (tmp_path / "run.lock").write_text(content)

    with pytest.raises(BusyError) as error, lock.hold(tmp_path):
        pass
    assert "is in use by another process. Wait" in str(error.value)


def test_whoever_only_asks_is_told_whether_it_is_held_and_writes_nothing(tmp_path, holder):
    before = (tmp_path / "run.lock").read_bytes(), os.stat(tmp_path).st_mtime_ns
    assert lock.is_held(tmp_path)
    assert ((tmp_path / "run.lock").read_bytes(), os.stat(tmp_path).st_mtime_ns) == before
    holder.kill()
    holder.wait()
    assert not lock.is_held(tmp_path)
    assert (tmp_path / "run.lock").read_bytes() == before[0]


def test_nobody_holds_a_run_without_a_lock_file(tmp_path):
    assert not lock.is_held(tmp_path)
    assert not lock.is_held(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed_to_ask_whether_it_is_held(tmp_path):
    (tmp_path / "run.lock").symlink_to("precious")
    with pytest.raises(StorageError) as error:
        lock.is_held(tmp_path)
    assert str(error.value) == (
        f"cannot read {tmp_path}/run.lock: Too many levels of symbolic links"
    )


def test_one_who_asks_at_that_instant_keeps_nobody_from_taking_it(tmp_path, monkeypatch):
    (tmp_path / "run.lock").touch()
    asking = os.open(tmp_path / "run.lock", os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            os.close(asking)

    monkeypatch.setattr(lock.time, "sleep", pause)
    with lock.hold(tmp_path):
        assert len(pauses) == 2


def test_who_holds_it_can_be_told_without_trying_to_take_it(tmp_path, holder):
    started = f"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()} since "
    assert str(lock.busy(tmp_path)).startswith(started)
    assert str(lock.busy(tmp_path / "gone")) == (
        f"{tmp_path}/gone is in use by another process. Wait until it ends, or stop it."
    )
