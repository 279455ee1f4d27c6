"""The `fitx selftest` command: tests properties that user code has to have."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import click

from fitx.errors import ExpectationError

from . import _arguments
from ._output import print_error, print_json, print_text
from .display.stage_display import show_stages


@click.group(short_help="Test that a training resumes exactly.")
def command() -> None:
    """Test properties that your own steps and callbacks must have."""


@command.command("resume")
@_arguments.experiment_arguments
@click.option(
    "--stops",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="The number of interruptions.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Chooses the interruptions; random by default."
)
@click.option(
    "--epochs", type=click.IntRange(2), help="Epochs to train; by default those of FILE, 2 or 3."
)
@_arguments.json_option
@_arguments.progress_options
def selftest_resume(
    file: str,
    overrides: tuple[str, ...],
    stops: int,
    epochs: int | None,
    as_json: bool,
    quiet: bool,
    **more: int | None,
) -> None:
    """Test that the training of FILE resumes exactly, with your own steps and callbacks.

    \b
    fitx selftest resume my.yaml
    fitx selftest resume my.yaml fit.steps_per_epoch=100      shortens long epochs
    fitx selftest resume my.yaml execution.mode=fused --stops 8 --seed 1

    The experiment is trained straight, then once more with interruptions at random steps: once the
    process is killed, otherwise it is stopped, and each time the run is resumed. Every array and
    every logged value of both runs is compared, to the bit. If one differs, the exit code is 6 and
    the runs are kept.
    """
    from fitx.commands.selftest import SelftestRequest, selftest
    from fitx.rundir.source_runs import with_source_runs
    from fitx.training.train_request import demand_training

    experiment = with_source_runs(_arguments.load_experiment(file, overrides), Path("runs"))
    demand_training(experiment, smoke=False)
    seed = secrets.randbelow(1000) if more["seed"] is None else more["seed"]
    request = SelftestRequest(
        experiment,
        [file, *overrides, *(source.override for source in experiment.sources)],
        epochs,
        stops,
        seed,
        # -P: Python imports no module from the working folder.
        [sys.executable, "-P", "-m", f"{__package__}.main"],
        ["-q", *(["--verbose"] if more["verbose"] else [])],
    )
    with show_stages(quiet):
        report = selftest(request, (lambda text: None) if quiet else print_error)
    if as_json:
        failure = {"error": report.text, "code": ExpectationError.exit_code}
        print_json({**report.to_json(), **(failure if report.differences else {})})
    elif not report.differences:
        print_text(report.text)
    if report.differences:
        print_error(report.text)
        raise click.exceptions.Exit(ExpectationError.exit_code)
