"""The display of the stages in which a command has no progress to show."""

import io
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from fitx import stages
from fitx.cli.display.stage_display import hide_stages, show_stages
from fitx.cli.display.stage_spinner import Spinner, StageLines
from fitx.stages import Stage
from fitx.training.display_interface import FirstSteps
from fitx.training.signals import STOPPING

from .test_display import Clock, Screen


@contextmanager
def terminal(monkeypatch):
    """Make standard error a terminal; yield a function that returns what was written to it."""
    ours, theirs = os.openpty()
    stream = open(theirs, "w", encoding="utf-8")  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)

    def written():
        found = b""
        while select.select([ours], [], [], 0.02)[0]:
            found += os.read(ours, 65536)
        return found.decode()

    yield written
    stream.close()
    os.close(ours)


def spinner(width=80):
    clock, stream = Clock(0.0), io.StringIO()
    return Spinner(stream.write, lambda: width, clock), clock, stream


def test_a_terminal_shows_a_stage_before_it_begins_and_nothing_after(monkeypatch):
    with terminal(monkeypatch) as written:
        with show_stages():
            with Stage("loading TensorFlow"):
                assert Screen().feed(before := written()).text == "\n⠙ loading TensorFlow"
            after = written()
            assert Screen().feed(before + after).text == ""
            with Stage("reading npz"):
                time.sleep(0.3)
                assert "reading npz" in (during := written())
        assert Screen().feed(before + after + during + written()).text == ""


def test_what_others_print_stays_above_the_stage(monkeypatch):
    with terminal(monkeypatch) as written:
        screen = Screen()
        with show_stages(), Stage("importing my.py"):
            os.write(sys.stderr.fileno(), b"hello\n")
            time.sleep(0.25)
            assert screen.feed(written()).text.startswith("hello\n\n")
            assert screen.text.endswith(" importing my.py")
        assert screen.feed(written()).text == "hello\n"


def test_a_stage_within_another_is_shown_and_then_the_outer_one_again():
    made, clock, stream = spinner()
    stages = []
    for text in ("importing my.py", "loading TensorFlow", "importing my.py", ""):
        made.begin(text)
        clock.now += 1.5
        made.tick()
        stages.append(Screen().feed(stream.getvalue()).text.strip()[2:])
    assert stages == ["importing my.py 2s", "loading TensorFlow 2s", "importing my.py 2s", ""]


@pytest.mark.parametrize("width", [12, 20, 40, 120])
def test_a_stage_is_one_line_of_a_narrow_terminal(width):
    made, clock, stream = spinner(width)
    made.begin("tracing train_step on the train split\nof a long \x1b[2Jname")
    clock.now += 125.0
    made.tick()
    lines = Screen().feed(stream.getvalue()).text.split("\n")
    assert len(lines) == 2 and len(lines[1]) < width
    assert lines[1].endswith("2m05s")


def test_stages_that_follow_each_other_at_once_are_not_drawn():
    made, clock, stream = spinner()
    made.begin("tracing")
    clock.now += 0.01
    made.begin("hashing")
    assert "hashing" not in stream.getvalue()
    clock.now += 0.1
    made.tick()
    assert "hashing" in stream.getvalue()


def test_elsewhere_a_stage_has_a_line_every_ten_seconds():
    clock, stream = Clock(0.0), io.StringIO()
    lines = StageLines(stream.write, clock)
    for text, seconds in (("reading npz", 9), ("tracing\x1b é", 25), ("", 100)):
        lines.begin(text)
        for _ in range(seconds):
            clock.now += 1.0
            lines.tick()
    said = [r"tracing\x1b \xe9, 10s so far", r"tracing\x1b \xe9, 20s so far"]
    assert stream.getvalue().splitlines() == said


@contextmanager
def piped(monkeypatch):
    reading, writing = os.pipe()
    with open(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        yield reading


def test_a_short_stage_leaves_nothing_in_a_pipe(monkeypatch):
    with piped(monkeypatch) as reading:
        with show_stages(), Stage("reading npz"):
            time.sleep(0.2)
        sys.stderr.write("end")
        sys.stderr.flush()
        assert os.read(reading, 100) == b"end"
        os.close(reading)


def test_quiet_and_a_closed_stream_show_no_stage(monkeypatch):
    with terminal(monkeypatch) as written:
        with show_stages(quiet=True), Stage("reading npz"):
            assert written() == ""
        monkeypatch.setattr(sys, "stderr", None)
        with show_stages(), Stage("reading npz"):
            assert written() == ""


def test_a_signal_before_the_run_takes_the_stage_away(monkeypatch):
    with terminal(monkeypatch) as written, show_stages(), Stage("reading npz"):
        before = written()
        hide_stages()
        assert "reading npz" in Screen().feed(before).text
        assert Screen().feed(before + written()).text == ""
        time.sleep(0.25)
        assert written() == ""


@pytest.mark.parametrize("words", [["train", "guide/simple", "data.rows=64"], ["doctor"]])
def test_the_command_shows_its_stages_and_ends_with_none(
    words, environment, fitx_command, tmp_path
):
    ours, theirs = os.openpty()
    shown = {**environment, "TERM": "xterm", "LINES": "24", "COLUMNS": "80"}
    process = subprocess.Popen(
        [*fitx_command, *words], cwd=tmp_path, env=shown, stderr=theirs, stdout=subprocess.DEVNULL
    )
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # What Linux says where the other end is closed.
        pass
    os.close(ours)
    assert process.wait(timeout=60) == 0
    text = written.decode()
    assert text.index("loading TensorFlow") >= 0
    assert ("preparing the first step" in text) == (words[0] == "train")
    left = Screen().feed(text).text
    assert "loading" not in left and "preparing" not in left


def test_a_run_that_goes_on_within_a_validation_leaves_no_stage_behind():
    steps, seen = FirstSteps(), []
    stages.watch(seen.append)
    with steps.waiting():
        steps.begin("test")
        steps.reached()
    told = list(seen)
    stages.unwatch(seen.append)
    assert told == ["", "preparing the first step", "", "preparing the validation", ""]


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="Linux tells of threads")
def test_the_thread_that_draws_takes_no_signals(monkeypatch):
    before = set(threading.enumerate())
    with terminal(monkeypatch), show_stages():
        (thread,) = set(threading.enumerate()) - before
        with open(f"/proc/self/task/{thread.native_id}/status") as file:
            blocked = next(int(line.split()[1], 16) for line in file if "SigBlk" in line)
    assert all(blocked >> (number - 1) & 1 for number in STOPPING)
