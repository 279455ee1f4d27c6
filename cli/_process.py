"""Sets up the process of a command: standard streams, warnings, signals and the exit."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn, TextIO

import fitx.training.signals  # noqa: F401 - registers what a forked child does with signals
from fitx.external_settings import overridden_variables

from ._output import print_error
from .display.stage_display import hide_stages

if TYPE_CHECKING:
    from fitx.experiment.experiment import Experiment

STANDARD = ("stdin", "stdout", "stderr")

_reserved_stdout: list[TextIO] = []
"""The stream of standard output, once `prepare_process` has moved it to a new descriptor."""


def prepare_process() -> None:
    """Open missing standard streams, reserve standard output, and handle warnings and signals.

    A file opened while standard output is closed would become standard output, and receive what
    is printed there. Standard output is reserved for results: what C code and child processes of
    a plugin write to file descriptor 1 goes to standard error.
    """
    for descriptor, name in enumerate(STANDARD):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(descriptor, "w" if descriptor else "r", closefd=False))
    _reserve_descriptor_1()
    _drop_error_filters()
    warnings.showwarning = _show_warning
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _exit_on_signal)


def _reserve_descriptor_1() -> None:
    """Move `sys.stdout` to a new descriptor, and let descriptor 1 be standard error.

    This is never undone: C code may flush its buffers when the process ends. A character that the
    stream's encoding lacks is written as an escape.
    """
    stream = sys.stdout
    try:
        if stream.fileno() != 1:
            return
    except OSError:  # The caller of `main` has set a stream in memory.
        return
    stream.flush()
    descriptor = os.dup(1)
    os.dup2(2, 1)
    # It stays open until the process ends.
    sys.stdout = open(descriptor, "w", encoding=stream.encoding, errors="backslashreplace")  # noqa: SIM115
    _reserved_stdout[:] = [sys.stdout]


def _drop_error_filters() -> None:
    """Drop filters such as PYTHONWARNINGS=error, which would make libraries fail that only warn."""
    actions = [option.partition(":")[0] for option in sys.warnoptions]
    if not any(action and "error".startswith(action) for action in actions):
        return
    warnings.resetwarnings()
    # Python's defaults.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", PendingDeprecationWarning)
    warnings.simplefilter("ignore", ImportWarning)
    warnings.simplefilter("ignore", ResourceWarning)


def restart_with_hash_seed(experiment: Experiment) -> None:
    """Restart this command with PYTHONHASHSEED, so that sets in plugins follow the seed.

    Python chooses the hash seed of strings when it starts. A value that the user has set is kept,
    and an experiment without plugins needs none. Nothing slow has been imported yet, and nothing
    has been written. A process without `prepare_process` runs another program: no restart.
    """
    is_set = os.environ.get("PYTHONHASHSEED", "") not in ("", "random")
    can_restart = bool(_reserved_stdout and sys.executable and not sys.flags.ignore_environment)
    if not experiment.plugins or is_set or not can_restart:
        return
    for output in _reserved_stdout:
        output.flush()
        os.dup2(output.fileno(), 1)
    environment = {**os.environ, **overridden_variables, "PYTHONHASHSEED": str(experiment.seed)}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


@contextmanager
def stdout_for_results() -> Iterator[TextIO]:
    """Yield standard output; what plugins and Keras print meanwhile goes to standard error."""
    output = sys.stdout
    with redirect_stdout(sys.stderr):
        yield output


def exit_with(code: int, *, at_once: bool = False) -> NoReturn:
    """Exit with a code, also when a standard stream can no longer be written.

    Args:
        code: The exit code.
        at_once: Skip the cleanup of Python and libraries at the end of the interpreter.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            # Python would flush once more, and exit with 120.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    _die_of_sigint(code)
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
    """Print a Python warning with control characters escaped: it may quote names and paths."""
    print_error(warnings.formatwarning(message, category, filename, lineno, line).rstrip("\n"))


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    """Exit at once: before a run begins there is nothing to save."""
    hide_stages()
    _die_of_sigint(128 + number)
    os._exit(128 + number)


def _die_of_sigint(code: int) -> None:
    """After Ctrl-C in a terminal, die of SIGINT itself, which also ends the loop of a shell."""
    with suppress(OSError):
        if code == 128 + signal.SIGINT and os.isatty(0):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
