"""Programs that are timed in turn, each in a process of its own."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
MEGABYTE = 2**20
ERRORS = "errors.txt"
"""The file with the newest program's standard error, in the current folder."""

PATHS = os.pathsep.join([str(HERE / "peers"), os.environ.get("PYTHONPATH", "")])
ENVIRONMENT = {**os.environ, "PYTHONPATH": PATHS, "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass
class Times:
    """The times and the peak memory of a program.

    Args:
        name: Of the program.
        seconds: A number of every round.
        peak: Bytes of memory that it held at most.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    peak: int = 0

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.seconds)

    def ratio(self, other: Times) -> float:
        """Return how many times as long the other takes: the median of the rounds' ratios."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(theirs / ours for ours, theirs in pairs)


def in_turn(commands: dict[str, Sequence[str]], rounds: int) -> list[Times]:
    """Time programs that serve turns (see peers/turns.py), by name; the first turns do not count.

    None runs while another does, and each round has a turn of all, so that a machine whose speed
    drifts slows them all.
    """
    programs = {name: started(command) for name, command in commands.items()}
    try:
        for program in programs.values():
            turn(program)
        times = [Times(name) for name in commands]
        for _ in range(rounds):
            for one in times:
                one.seconds.append(turn(programs[one.name]))
        for one in times:
            one.peak = ended(programs[one.name])
    finally:
        for program in programs.values():
            program.kill()
    return times


def whole(commands: dict[str, Sequence[str]], rounds: int) -> list[Times]:
    """Time whole processes from start to end, in turn; the first round does not count."""
    times = [Times(name) for name in commands]
    for number in range(rounds + 1):
        for one in times:
            began = time.perf_counter()
            peak = ended(started(commands[one.name]))
            if number:
                one.seconds.append(time.perf_counter() - began)
                one.peak = max(one.peak, peak)
    return times


def started(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a program; what it writes to standard error is kept for when it fails."""
    pipe = subprocess.PIPE
    with open(ERRORS, "w") as errors:
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=errors, text=True, env=ENVIRONMENT
        )


def turn(program: subprocess.Popen[str]) -> float:
    """Let a program take a turn and return the seconds that it tells."""
    assert program.stdin is not None and program.stdout is not None
    with suppress(BrokenPipeError):
        program.stdin.write("\n")
        program.stdin.flush()
    answer = program.stdout.readline()
    if not answer:
        ended(program)
    return float(answer)


def ended(program: subprocess.Popen[str]) -> int:
    """Wait for a program and return the bytes of memory that it held at most."""
    assert program.stdin is not None and program.stdout is not None
    with suppress(BrokenPipeError):
        program.stdin.close()
    program.stdout.read()
    _, status, usage = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        told = Path(ERRORS).read_text()[-2000:]
        raise SystemExit(f"{program.args} failed:\n{told}")
    return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
