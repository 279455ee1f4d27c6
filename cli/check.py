"""fitx check: find everything that is wrong with an experiment file."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from . import _complete, _options
from ._output import visible, write_json, write_lines, write_text
from ._process import results_alone
from ._shadowed import tell_shadowed
from .display.waiting import waiting

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

    with results_alone() as output, waiting():
        tell_shadowed(file)
        experiment = read(file, overrides)
        if experiment.plugins and not experiment.part_index.is_shipped(
            "step", experiment.step.name
        ):
            from fitx.build.step_class import check_step_class

            check_step_class(experiment)
    if as_json:
        result = {"file": file, "problems": [], "experiment": experiment.as_mapping()}
        write_json(result, output)
    elif resolved:
        write_text(_encodable(experiment, output), output)
    else:
        write_lines([f"{file}: no problems."], output)


def _encodable(experiment: Experiment, output: TextIO) -> str:
    """Return an experiment as YAML, with its escapes where a character cannot be written."""
    from fitx.experiment.yaml.dump import dump

    text = dump(experiment).removesuffix("\n")
    if visible(text) != text:
        return dump(experiment, ascii_only=True).removesuffix("\n")
    try:
        text.encode(output.encoding)
    except UnicodeEncodeError:
        return dump(experiment, ascii_only=True).removesuffix("\n")
    return text
