"""fitx copy: start an experiment, or a part, of your own from a shipped one."""

from __future__ import annotations

from pathlib import Path

import click

from . import _complete


@click.command()
@click.argument("name", type=_complete.PART)
@click.argument("destination", required=False, type=click.Path(path_type=Path))
def command(name: str, destination: Path | None) -> None:
    """Copy NAME, a shipped experiment or part, to DESTINATION.

    By default an experiment keeps its name and a part becomes my_NAME.py, in this folder. What
    an experiment extends is copied beside it. Nothing is ever overwritten.
    """
    from fitx.experiment.shipping import copy

    for path in copy(name, destination):
        click.echo(f"wrote {path}")
