"""Commands that run in a process of their own until they end, are killed or a signal comes."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fitx.errors import FitxError, Interrupted
from fitx.training.signals import StopRequest

POLL_SECONDS = 0.002
"""The time between two looks at a running process."""

STOPPED = 128 + signal.SIGTERM
"""The exit code of fitx after SIGTERM, and after `--stop-after`."""


class ChildFailed(FitxError):
    """A command failed. The message is its standard error; the exit code is passed on."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code if code > 0 else 128 - code


class KilledFromOutside(FitxError):
    """A signal that fitx did not send ended a process, so a test proves nothing."""

    exit_code = 4

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__(
            f"a training was ended by a {name} that fitx did not send, so nothing is "
            "proved. The machine may be out of memory. Run the test again."
        )


@dataclass(frozen=True)
class EndedProcess:
    """A process that has ended.

    Attributes:
        code: Its exit code, or minus the number of the signal that ended it.
        stderr: The text that it wrote to standard error.
        is_killed: Whether `run` killed it, as `kill_when` asked.
    """

    code: int
    stderr: str
    is_killed: bool = False

    def check(self, *, may_stop: bool = False) -> None:
        """Raise ChildFailed or KilledFromOutside unless the process ended as it should.

        Args:
            may_stop: Whether it may have stopped as if by SIGTERM.
        """
        if self.code == 0 or self.is_killed or (may_stop and self.code == STOPPED):
            return
        if self.code in (-signal.SIGKILL, STOPPED):
            raise KilledFromOutside(-self.code if self.code < 0 else self.code - 128)
        # The run folder that such a line names is temporary.
        lines = [line for line in self.stderr.splitlines() if not line.startswith("run: ")]
        text = "\n".join(lines) or f"a training ended with exit code {self.code}."
        raise ChildFailed(text, self.code)


def run(
    command: Sequence[str],
    temporary: Path,
    stop: StopRequest,
    kill_when: Callable[[], bool] | None = None,
    delay: float = 0.0,
) -> EndedProcess:
    """Run a command until it ends.

    The process and all that it has started are killed when an error or a signal ends the wait.

    Args:
        command: The program and its arguments.
        temporary: The folder for temporary files of the process.
        stop: Asked whether this process has received a signal.
        kill_when: Asked every few milliseconds whether to kill the process.
        delay: Seconds from the moment when `kill_when` first returns True to the kill.

    Raises:
        Interrupted: A signal came.
    """
    is_killed = False
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "TMPDIR": str(temporary)},
            # Ctrl-C in a terminal reaches the parent only.
            process_group=0,
        )
        try:
            while process.poll() is None:
                if stop.number:
                    raise Interrupted(f"stopped by {stop.name}.", stop.number)
                if kill_when is not None and kill_when():
                    time.sleep(delay)
                    is_killed = _kill(process)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(POLL_SECONDS)
        finally:
            _kill(process)
        return EndedProcess(process.returncode, _text(errors), is_killed)


def _kill(process: subprocess.Popen[bytes]) -> bool:
    """Kill a process with those it has started; return False if it had ended before."""
    if process.poll() is not None:
        return False
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()
