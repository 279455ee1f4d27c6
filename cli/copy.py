"""The `fitx copy` command: copies a shipped experiment or part as the start of your own."""

from __future__ import annotations

from pathlib import Path

import click

from . import _arguments
from ._output import print_lines
from .display.stage_display import show_stages


@click.command(short_help="Copy a shipped experiment or part.")
@click.argument("name", type=_arguments.PART)
@click.argument("destination", required=False, type=click.Path(path_type=Path))
def command(name: str, destination: Path | None) -> None:
    """Copy NAME, a shipped experiment or part, to DESTINATION.

    By default an experiment keeps its name and a part becomes my_NAME.py, in this folder. Files
    that the experiment extends are copied too, and the JSON Schema for editors is written next
    to them. Existing files are never overwritten.
    """
    from fitx.commands.copy import copy

    with show_stages():
        paths = copy(name, destination)
    print_lines(f"wrote {path}" for path in paths)
