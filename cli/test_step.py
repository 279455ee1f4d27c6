"""The `fitx test-step` command: tests a training step of your own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from fitx.errors import ExpectationError

from . import _arguments, _layout
from ._output import print_error, print_json, print_lines
from ._process import restart_with_hash_seed, stdout_for_results
from .display.stage_display import show_stages

if TYPE_CHECKING:
    from fitx.commands.test_step.finding import Finding

SLOW_CHECKS = ("devices", "resume")
"""The checks that start processes of their own."""

CHECKS = (
    *("gradients", "frozen", "loss", "metrics", "evaluation", "rows", "modes", "precision"),
    *SLOW_CHECKS,
)

STATUS_WIDTH, NAME_WIDTH = 13, 12
"""Columns of the status and of the name of a check, with the spaces that follow."""


@click.command("test-step", short_help="Test a training step of your own.")
@_arguments.experiment_arguments
@click.option("--skip", multiple=True, type=click.Choice(CHECKS), help="Leave out a check.")
@click.option("--quick", is_flag=True, help="Leave out devices and resume, which are slow.")
@_arguments.json_option
@_arguments.progress_options
def command(
    file: str,
    overrides: tuple[str, ...],
    skip: tuple[str, ...],
    quick: bool,
    as_json: bool,
    **options: bool,
) -> None:
    """Test the step of FILE on a few of its batches; the exit code is 6 if a check fails.

    \b
    fitx test-step my.yaml
    fitx test-step my.yaml data.batch_size=8 --quick --skip precision

    Gradients reach every trained variable and no frozen network changes; the loss of one batch
    falls; metrics begin anew with each epoch; an evaluation changes no weight; a short batch, every
    execution mode, bfloat16 and two virtual devices give the values that they should; an
    interrupted training resumes exactly. No run folder is created.
    """
    from fitx.rundir.source_runs import with_source_runs
    from fitx.training.train_request import demand_training

    with stdout_for_results() as output:
        experiment = _arguments.load_experiment(file, overrides)
        restart_with_hash_seed(experiment)
        experiment = with_source_runs(experiment, Path("runs"))
        demand_training(experiment, smoke=True)

        def show(finding: Finding) -> None:
            if not as_json:
                print_lines(_finding_lines(finding, output), output)

        with show_stages(options["quiet"]):
            from fitx.commands.test_step import StepTestRequest, test_step

            request = StepTestRequest(
                experiment,
                [file, *overrides, *(source.override for source in experiment.sources)],
                # -P: Python imports no module from the working folder.
                [sys.executable, "-P", "-m", f"{__package__}.main"],
                {*skip, *(SLOW_CHECKS if quick else ())},
            )
            report = test_step(request, show)
    if as_json:
        failure = {"error": report.summary, "code": ExpectationError.exit_code}
        print_json({**report.to_json(), **(failure if report.failed else {})}, output)
    elif not report.failed:
        print_lines([report.summary], output)
    if report.failed:
        print_error(report.summary)
        raise click.exceptions.Exit(ExpectationError.exit_code)


def _finding_lines(finding: Finding, output: TextIO) -> list[str]:
    """Return one line for a finding, or several if its text has several."""
    width = _layout.output_width(output, otherwise=sys.maxsize)
    first, *others = finding.text.splitlines() or [""]
    line = f"{finding.status:<{STATUS_WIDTH}}{finding.check:<{NAME_WIDTH}}{first}"
    return _layout.wrapped_lines([line, *(f"  {other}" for other in others)], width)
