"""fitx check: find everything that is wrong with an experiment file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TextIO

import click

from . import _complete, _options
from ._process import results_alone

if TYPE_CHECKING:
    from fitx.experiment.experiment import Experiment


@click.command()
@click.argument("file", type=_complete.EXPERIMENT)
@_options.overrides
@click.option("--resolved", is_flag=True, help="Print the experiment with all defaults filled in.")
@_options.json_output
@click.option("--verbose", is_flag=True, help="Show full tracebacks.")
def command(
    file: str, overrides: tuple[str, ...], resolved: bool, as_json: bool, verbose: bool
) -> None:
    """Check FILE, an experiment file or a shipped one, without running or writing anything.

    Every problem is reported with its file, line and column; the exit code is 2 if there is one.
    """
    from fitx.experiment.check import read

    with results_alone() as output:
        experiment = read(file, overrides)
        if experiment.plugins and not experiment.catalogue.is_shipped("step", experiment.step.name):
            from fitx.build.step_class import check_step_class

            check_step_class(experiment)
    if as_json:
        result = {"file": file, "problems": [], "experiment": experiment.plain()}
        click.echo(json.dumps(result), file=output)
    elif resolved:
        click.echo(_encodable(experiment, output), nl=False, file=output)
    else:
        click.echo(f"{file}: no problems.", file=output)


def _encodable(experiment: Experiment, output: TextIO) -> str:
    """Return an experiment as YAML, with escapes where the output lacks a character."""
    from fitx.experiment.dump import dump

    text = dump(experiment)
    try:
        text.encode(output.encoding)
    except UnicodeEncodeError:
        return dump(experiment, ascii_only=True)
    return text
