"""Prints the result of a command, or the error that ended it, and chooses the exit code."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, TextIO

import click

from fitx import memory
from fitx.errors import (
    DeviceError,
    ExpectationError,
    FitxError,
    Interrupted,
    StorageError,
    UsageError,
    UserCodeError,
)

from . import _layout
from ._output import print_error, print_json, print_lines

if TYPE_CHECKING:
    from fitx.training.result import Result


def print_result(
    result: Result, output: TextIO, *, as_json: bool, heading: tuple[str, ...] = ()
) -> None:
    """Print a result.

    Raises:
        click.exceptions.Exit: The result does not meet an expectation of the experiment.
    """
    from fitx.training.result import refuse_unmet

    missed = ""
    try:
        refuse_unmet(result.details.get("expect", []))
    except ExpectationError as error:
        missed = str(error)
    failure = {"error": missed, "code": ExpectationError.exit_code} if missed else {}
    # A reader such as `head` may close the pipe early; the exit code still counts.
    with suppress(BrokenPipeError):
        if as_json:
            print_json({**result.to_json(), **failure}, output)
        else:
            print_lines([*heading, *_result_lines(result, output)], output)
    if missed:
        print_error(missed)
        raise click.exceptions.Exit(ExpectationError.exit_code)


def _result_lines(result: Result, output: TextIO) -> Iterator[str]:
    """Yield one line per value, the expectations and the run folder."""
    values = [(name, f"{value:.6g}") for name, value in result.metrics.items()]
    yield from _layout.pairs(values, _layout.output_width(output, otherwise=sys.maxsize))
    for expectation in result.details.get("expect", ()):
        met = "met" if expectation["met"] else "missed"
        yield f"expected {expectation['name']} {expectation['expected']}: {met}"
    if result.run is not None:
        yield f"run: {result.run}"


def print_failure(error: BaseException) -> int:
    """Print an error on stderr, with --json also on stdout as JSON; return the exit code.

    A traceback is shown for a bug in fitx, or with --verbose.
    """
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 130
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    fitx_error = _as_fitx_error(error)
    code = fitx_error.exit_code if fitx_error is not None else 1
    if "--json" in sys.argv:
        _print_json_error(fitx_error or error, code)
    print_error(_error_text(error, fitx_error))
    return code


def _as_fitx_error(error: BaseException) -> FitxError | None:
    """Return the error as a FitxError; None if it is a bug in fitx."""
    if isinstance(error, FitxError):
        return error
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    if memory.is_shortage(error):
        return memory.out_of_memory(error)
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
        text = error.object[error.start : error.end]
        return DeviceError(
            f"'{text}' cannot be part of a file name in this locale, which encodes names as "
            f"{error.encoding}; set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8."
        )
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "fitx":
        return DeviceError(f"{error}; `fitx doctor` shows which packages are missing.")
    if isinstance(error, OSError):
        return StorageError(f"{_failed_file(error)}{error.strerror or error}")
    return None


def _failed_file(error: OSError) -> str:
    if error.filename:
        return f"{error.filename}: "
    frames = traceback.extract_tb(error.__traceback__)
    printing = bool(frames) and frames[-1].filename == click.utils.__file__
    return "cannot write to standard output: " if printing else ""


def _error_text(error: BaseException, fitx_error: FitxError | None) -> str:
    trace = "".join(traceback.format_exception(error))
    if fitx_error is None:
        return f"{trace}This is a bug in fitx {version('fitx')}; please report it, with the above."
    parts = [trace.rstrip()] if "--verbose" in sys.argv else []
    if isinstance(error, click.UsageError) and error.ctx and error.message != error.ctx.get_help():
        parts.append(error.ctx.get_usage())
    if isinstance(fitx_error, UserCodeError):
        parts.append(fitx_error.frames)
    parts += [str(fitx_error), *getattr(error, "__notes__", ())]
    run = fitx_error.run
    parts.append(f"run: {run}" if run else "")
    # A worker of a cluster is resumed by the command that starts all workers.
    if isinstance(fitx_error, Interrupted) and run and "TF_CONFIG" not in os.environ:
        parts.append(f"resume with: fitx resume {shlex.quote(run)}")
    return "\n".join(filter(None, parts))


def _print_json_error(error: BaseException, code: int) -> None:
    problems = [problem.to_json() for problem in getattr(error, "problems", ())]
    text = str(error) if isinstance(error, FitxError) else f"{type(error).__name__}: {error}"
    run = getattr(error, "run", None)
    value = {"error": text, "code": code, "problems": problems, "run": run}
    with suppress(OSError):
        print_json(value)
