"""fitx copy: start an experiment, or a part, of your own from a shipped one."""

from __future__ import annotations

from pathlib import Path

import click

from . import _complete
from ._output import write_lines
from .display.waiting import waiting


@click.command()
@click.argument("name", type=_complete.PART)
@click.argument("destination", required=False, type=click.Path(path_type=Path))
def command(name: str, destination: Path | None) -> None:
    """Copy NAME, a shipped experiment or part, to DESTINATION.

    By default an experiment keeps its name and a part becomes my_NAME.py, in this folder. What
    an experiment extends is copied beside it, and its JSON Schema written there for editors.
    Nothing is ever overwritten.
    """
    from fitx.experiment.shipping import copy

    with waiting():
        written = copy(name, destination)
    write_lines(f"wrote {path}" for path in written)
