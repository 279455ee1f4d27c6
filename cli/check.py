"""The `fitx check` command: reports every problem of an experiment file."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from . import _arguments
from ._output import print_json, print_lines, print_text, visible
from ._process import stdout_for_results
from .display.stage_display import show_stages

if TYPE_CHECKING:
    from fitx.experiment.experiment import Experiment


@click.command(short_help="Report every problem of an experiment file.")
@_arguments.experiment_arguments
@click.option("--resolved", is_flag=True, help="Print the experiment with all defaults filled in.")
@_arguments.json_option
@_arguments.verbose_option
def command(
    file: str, overrides: tuple[str, ...], resolved: bool, as_json: bool, verbose: bool
) -> None:
    """Check FILE, an experiment file or a shipped experiment, without training or writing files.

    All problems are reported at once, with file, line and column. The exit code is 2 if there is
    a problem.
    """
    from fitx.experiment.check import read

    with stdout_for_results() as output, show_stages():
        _arguments.note_shadowed_file(file)
        experiment = read(file, overrides)
        if experiment.plugins and not experiment.part_index.is_shipped(
            "step", experiment.step.name
        ):
            from fitx.build.step_class_checks import check_step_class

            check_step_class(experiment)
    if as_json:
        result = {"file": file, "problems": [], "experiment": experiment.as_mapping()}
        print_json(result, output)
    elif resolved:
        print_text(_encodable(experiment, output), output)
    else:
        print_lines([f"{file}: no problems."], output)


def _encodable(experiment: Experiment, output: TextIO) -> str:
    """Return an experiment as YAML, in ASCII if it has characters that cannot be printed."""
    from fitx.experiment.dump import dump

    text = dump(experiment).removesuffix("\n")
    if visible(text) != text:
        return dump(experiment, ascii_only=True).removesuffix("\n")
    try:
        text.encode(output.encoding)
    except UnicodeEncodeError:
        return dump(experiment, ascii_only=True).removesuffix("\n")
    return text
