"""fitx train: train an experiment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fitx.errors import UsageError

from . import _complete, _options
from ._process import follow_seed, results_alone
from ._report import present
from ._shadowed import tell_shadowed
from ._worker import Part, part
from .display.waiting import waiting

if TYPE_CHECKING:
    from fitx.experiment.experiment import Experiment
    from fitx.training.progress import Display
    from fitx.training.result import Result


@click.command()
@click.argument("file", type=_complete.EXPERIMENT)
@_options.overrides
@_options.out
@_options.smoke
@_options.resume
@_options.allow_inexact
@_options.json_output
@_options.progress
@_options.stop_after
def command(
    file: str, overrides: tuple[str, ...], as_json: bool, quiet: bool, verbose: bool, **wish: object
) -> None:
    """Train FILE, an experiment file (its suffix may be left out) or the name of a shipped one.

    \b
    fitx train digits
    fitx train my.yaml fit.epochs=20 optimizer.learning_rate=1e-4
    fitx train my.yaml '~callbacks' 'metrics+=mae'
    fitx train my.yaml --resume auto         on machines that may be taken away: the same each time
    """
    from fitx.experiment.check import check_unimported
    from fitx.experiment.yaml.load import load

    with results_alone() as output:
        tell_shadowed(file)
        experiment = check_unimported(load(file, overrides))
        follow_seed(experiment)
        asked = _Wish(**wish)  # type: ignore[arg-type]
        with part(experiment, asked.out) as mine, waiting(quiet or not mine.is_chief):
            result = _carry_out(experiment, asked, mine, quiet)
    if mine.is_chief:
        present(result, output, as_json=as_json)


@dataclass(frozen=True)
class _Wish:
    """The options that say which run is meant, and how much of it."""

    out: Path
    smoke: bool
    resume: str | None
    allow_inexact: bool
    stop_after: int | None

    def __post_init__(self) -> None:
        if self.smoke and self.resume is not None:
            raise UsageError("--smoke tries a new run and --resume goes on with one; give one.")


def _carry_out(experiment: Experiment, wish: _Wish, mine: Part, quiet: bool) -> Result:
    """Begin a run or go on with one, and return what comes out."""
    from fitx.training.resumption.resume_request import (
        finished_result,
        open_for_resume_from_file,
        select_run,
    )
    from fitx.training.train_request import prepare_request

    display, inexact = partial(_display, quiet or not mine.is_chief), wish.allow_inexact
    run, notes = select_run(
        experiment, wish.resume, wish.out, allow_inexact=inexact, alone=mine.is_chief
    )
    if run is None:
        new = prepare_request(experiment, mine.out, smoke=wish.smoke)
        new = replace(new, stop_after=wish.stop_after, notes=notes)

        from fitx.commands.train import train

        return train(experiment, new, display())
    result = finished_result(run, experiment)
    if result is not None:
        return result
    with open_for_resume_from_file(mine.own(run), experiment, allow_inexact=inexact) as going_on:
        from fitx.commands.resume import resume

        told = (*notes, *going_on.notes)
        order = replace(going_on, stop_after=wish.stop_after, notes=told)
        return resume(order, display())


def _display(quiet: bool) -> Display:
    from .display import choose

    return choose(quiet)
