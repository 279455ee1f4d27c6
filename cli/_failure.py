"""What a command says, and the code it exits with, when something goes wrong."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from contextlib import suppress
from importlib.metadata import version

import click

from fitx import memory
from fitx.errors import DeviceError, FitxError, Interrupted, StorageError, UsageError, UserCodeError

from ._output import print_error, write_json


def report(error: BaseException) -> int:
    """Say what went wrong, on stderr (with --json: on stdout, as JSON, too); return the exit code.

    A traceback is shown for a bug in fitx, or with --verbose.
    """
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 130
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    known = _known(error)
    code = known.exit_code if known is not None else 1
    if "--json" in sys.argv:
        _print_json(known or error, code)
    print_error(_text(error, known))
    return code


def _known(error: BaseException) -> FitxError | None:
    """Return the error in fitx' own words; None for a bug."""
    if isinstance(error, FitxError):
        return error
    if isinstance(error, click.ClickException):
        return UsageError(error.format_message())
    if memory.is_shortage(error):
        return memory.out_of_memory(error)
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
        text = error.object[error.start : error.end]
        return DeviceError(
            f"'{text}' cannot be part of a file's name in this locale, which encodes names as "
            f"{error.encoding}; set PYTHONUTF8=1, or a locale such as LC_ALL=C.UTF-8."
        )
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] != "fitx":
        return DeviceError(f"{error}; `fitx doctor` tells what is missing.")
    if isinstance(error, OSError):
        return StorageError(f"{_place(error)}{error.strerror or error}")
    return None


def _place(error: OSError) -> str:
    if error.filename:
        return f"{error.filename}: "
    frames = traceback.extract_tb(error.__traceback__)
    printing = bool(frames) and frames[-1].filename == click.utils.__file__
    return "cannot write to standard output: " if printing else ""


def _text(error: BaseException, known: FitxError | None) -> str:
    trace = "".join(traceback.format_exception(error))
    if known is None:
        return f"{trace}This is a bug in fitx {version('fitx')}; please report it, with the above."
    parts = [trace.rstrip()] if "--verbose" in sys.argv else []
    if isinstance(error, click.UsageError) and error.ctx and error.message != error.ctx.get_help():
        parts.append(error.ctx.get_usage())
    if isinstance(known, UserCodeError):
        parts.append(known.frames)
    parts += [str(known), *getattr(error, "__notes__", ())]
    parts.append(f"run: {known.run}" if known.run else "")
    # A worker of a cluster goes on by the command that starts them all.
    if isinstance(known, Interrupted) and known.run and "TF_CONFIG" not in os.environ:
        parts.append(f"go on with: fitx resume {shlex.quote(known.run)}")
    return "\n".join(filter(None, parts))


def _print_json(error: BaseException, code: int) -> None:
    problems = [problem.to_json() for problem in getattr(error, "problems", ())]
    text = str(error) if isinstance(error, FitxError) else f"{type(error).__name__}: {error}"
    run = getattr(error, "run", None)
    value = {"error": text, "code": code, "problems": problems, "run": run}
    with suppress(OSError):
        write_json(value)
