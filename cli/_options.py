"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


def overrides(command: Command) -> Command:
    """Take changes to the experiment as further words: `key.path=value`."""
    return click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")(command)


def json_output(command: Command) -> Command:
    """Offer `--json`."""
    text = "Print one JSON object on standard output, and nothing else there."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def out(command: Command) -> Command:
    """Offer `--out`."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=True),
        default=Path("runs"),
        show_default=True,
        help="The folder of all runs.",
    )(command)


def smoke(command: Command) -> Command:
    """Offer `--smoke` of a training."""
    text = "Only try it: two steps of everything."
    return click.option("--smoke", is_flag=True, help=text)(command)


def resume(command: Command) -> Command:
    """Offer `--resume`."""
    text = "Go on with RUN; auto: with the newest unfinished run of FILE, if there is one."
    return click.option("--resume", metavar="auto|RUN", help=text)(command)


def allow_inexact(command: Command) -> Command:
    """Offer `--allow-inexact`."""
    text = "Go on though the result will not be the same to the bit."
    return click.option("--allow-inexact", is_flag=True, help=text)(command)


def stop_after(command: Command) -> Command:
    """Take `--stop-after`, by which `fitx selftest` interrupts runs at a given step."""
    kind = click.IntRange(min=0)
    return click.option("--stop-after", type=kind, hidden=True, metavar="STEPS")(command)


def progress(command: Command) -> Command:
    """Offer `-q` and `--verbose`."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
    verbose = click.option(
        "--verbose", is_flag=True, help="Show TensorFlow's messages and full tracebacks."
    )
    return quiet(verbose(command))
