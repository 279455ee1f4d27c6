"""fitx selftest: prove what a user's own steps and callbacks are to keep to."""

from __future__ import annotations

import secrets
import sys

import click

from fitx.errors import ExpectationError

from . import _complete, _options
from ._output import print_error, write_json, write_text
from ._shadowed import tell_shadowed
from .display.waiting import waiting


@click.group()
def command() -> None:
    """Prove what your own steps and callbacks are to keep to."""


@command.command()
@click.argument("file", type=_complete.EXPERIMENT)
@_options.overrides
@click.option(
    "--stops",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    help="How often the run is interrupted.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Chooses the steps; else chance does.")
@click.option("--epochs", type=click.IntRange(1), help="To train; by default FILE's, at most 3.")
@_options.json_output
@_options.progress
def resume(
    file: str,
    overrides: tuple[str, ...],
    stops: int,
    epochs: int | None,
    as_json: bool,
    quiet: bool,
    **more: int | None,
) -> None:
    """Prove that FILE goes on exactly after interruptions, with your own steps and callbacks.

    \b
    fitx selftest resume my.yaml
    fitx selftest resume my.yaml execution.mode=fused --stops 8 --seed 1

    It is trained without an end in between, and again with interruptions: stopped at some steps,
    and killed once. Then every array and every logged value is compared, to the bit. If one
    differs, the exit code is 6, and both runs are kept.
    """
    from fitx.commands.selftest import Order, selftest
    from fitx.experiment.check import check_unimported
    from fitx.experiment.yaml.load import load
    from fitx.training.train_request import demand_training

    tell_shadowed(file)
    experiment = check_unimported(load(file, overrides))
    demand_training(experiment, smoke=False)
    seed = secrets.randbelow(1000) if more["seed"] is None else more["seed"]
    order = Order(
        experiment,
        [file, *overrides],
        epochs,
        stops,
        seed,
        # -P: no module is imported from the working folder.
        [sys.executable, "-P", "-m", f"{__package__}.main"],
        ["-q", *(["--verbose"] if more["verbose"] else [])],
    )
    with waiting(quiet):
        report = selftest(order, (lambda text: None) if quiet else print_error)
    if as_json:
        failure = {"error": report.text, "code": ExpectationError.exit_code}
        write_json({**report.to_json(), **(failure if report.differences else {})})
    elif not report.differences:
        write_text(report.text)
    if report.differences:
        print_error(report.text)
        raise click.exceptions.Exit(ExpectationError.exit_code)
