"""Commands in processes of their own, which a signal to their parent ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from fitx.errors import FitxError, Interrupted
from fitx.training.signals import STOPPING, blocked

LOOKING_EVERY = 0.001
"""Seconds between two looks at what a process has done so far."""

KILLED = -signal.SIGKILL
STOPPED = 128 + signal.SIGTERM


class ChildFailed(FitxError):
    """A command failed; the text is what it said of it, and its exit code counts."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code if code > 0 else 128 - code


class KilledFromOutside(FitxError):
    """A process was ended by a signal that the test did not send; that proves nothing of a run."""

    exit_code = 4


@dataclass(frozen=True)
class Ended:
    """A process that has ended.

    Attributes:
        code: Its exit code; minus the number of the signal that killed it.
        said: What it wrote to standard error.
    """

    code: int
    said: str


def run(
    command: Sequence[str], temporary: Path, is_enough: Callable[[], bool] | None = None
) -> Ended:
    """Run a command until it ends, or kill it as soon as that is asked for.

    Whatever ends the wait kills the process, and those that it has started.

    Args:
        command: The command, its program first.
        temporary: Where it finds a folder for what it leaves there if it is killed.
        is_enough: Asked many times a second whether to kill it.
    """
    with tempfile.TemporaryFile() as errors:
        process: subprocess.Popen[bytes] | None = None
        try:
            # A signal in the midst of it would lose sight of the process.
            with blocked() as before:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env={**os.environ, "TMPDIR": str(temporary)},
                    # A terminal's Ctrl-C reaches this process alone.
                    process_group=0,
                    preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),
                )
            if is_enough is not None:
                _watch(process, is_enough)
            process.wait()
        finally:
            if process is not None:
                _kill(process)
        return Ended(process.returncode, _text(errors))


def _watch(process: subprocess.Popen[bytes], is_enough: Callable[[], bool]) -> None:
    while process.poll() is None:
        if is_enough():
            _kill(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(LOOKING_EVERY)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP end the block, after all that is to be done at its end.

    Raises:
        Interrupted: One of them came.
    """
    heard = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]

    def end(number: int, frame: FrameType | None) -> None:
        for one in heard:
            # What is being tidied up takes no more than moments.
            signal.signal(one, signal.SIG_IGN)
        raise Interrupted(f"stopped by {signal.Signals(number).name}.", number)

    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
