"""The process that a command runs in: its streams, its signals, its end."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TextIO

import fitx.training.signals  # noqa: F401 - what this makes of forked children holds from now on
from fitx.external_settings import overridden_variables

from ._output import print_error
from .display.waiting import stop_waiting

if TYPE_CHECKING:
    from fitx.experiment.experiment import Experiment

STANDARD = ("stdin", "stdout", "stderr")

_output: list[TextIO] = []
"""The stream of standard output, once it has a descriptor of its own."""


def prepare() -> None:
    """Make the process safe to work in: no stream missing, no signal that leaves a traceback.

    A file opened while standard output is closed would become standard output, and take what
    others print there. Standard output is the command's alone: what C code and the processes that
    a plugin starts write to file descriptor 1 goes to standard error.
    """
    for descriptor, name in enumerate(STANDARD):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", closefd=False))
    _keep_standard_output()
    _let_no_warning_raise()
    warnings.showwarning = _show_warning
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def _keep_standard_output() -> None:
    """Move `sys.stdout` to a descriptor that nobody else knows, and let 1 be standard error.

    For good: C code may write what it holds back when the process ends. A character that the
    stream's encoding lacks is written as an escape.
    """
    stream = sys.stdout
    try:
        if stream.fileno() != 1:
            return
    except OSError:  # An object in memory, put there by whoever calls `main`.
        return
    stream.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    # It is open until the process ends.
    sys.stdout = open(kept, "w", encoding=stream.encoding, errors="backslashreplace")  # noqa: SIM115
    _output[:] = [sys.stdout]


def _let_no_warning_raise() -> None:
    """Drop filters such as PYTHONWARNINGS=error: libraries that only warn would fail to work."""
    actions = [option.partition(":")[0] for option in sys.warnoptions]
    if not any(action and "error".startswith(action) for action in actions):
        return
    warnings.resetwarnings()
    # As Python ignores them by default.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    warnings.simplefilter("ignore", ImportWarning)
    warnings.simplefilter("ignore", ResourceWarning)


def follow_seed(experiment: Experiment) -> None:
    """Let the order of sets in plugins follow an experiment's seed: start this command anew.

    Python draws how it hashes strings when it starts, unless PYTHONHASHSEED says how; a value that
    the user has set stays. Nothing slow has been imported yet, and nothing been written. Where
    `prepare` was not called, the process runs another program, which must not be restarted.
    """
    is_set = os.environ.get("PYTHONHASHSEED", "") not in ("", "random")
    can_restart = bool(_output and sys.executable and not sys.flags.ignore_environment)
    if not experiment.plugins or is_set or not can_restart:
        return
    for output in _output:
        output.flush()
        os.dup2(output.fileno(), 1)
    environment = {**os.environ, **overridden_variables, "PYTHONHASHSEED": str(experiment.seed)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


@contextmanager
def results_alone() -> Iterator[TextIO]:
    """Send what plugins and Keras print to standard error; yield the standard output."""
    output = sys.stdout
    with redirect_stdout(sys.stderr):
        yield output


def leave(code: int, *, at_once: bool = False) -> NoReturn:
    """Exit with a code, whatever has become of the streams.

    Args:
        code: The exit code.
        at_once: Skip what Python and libraries do when the interpreter ends.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Python would try once more, and exit with 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    _die_as_shells_expect(code)
    if at_once:
        os._exit(code)
    sys.exit(code)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a warning of Python: libraries quote names and paths in theirs."""
    print_error(warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n"))


def _end(number: int, frame: FrameType | None) -> None:
    """End at once: before a run has begun there is nothing to keep."""
    stop_waiting()
    _die_as_shells_expect(128 + number)
    os._exit(128 + number)


def _die_as_shells_expect(code: int) -> None:
    """After Ctrl-C in a terminal, die of the signal itself: only that ends a shell's loop too."""
    with suppress(OSError):
        if code == 128 + signal.SIGINT and os.isatty(0):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
