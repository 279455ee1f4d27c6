"""The `fitx train` command: trains an experiment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fitx.errors import UsageError

from . import _arguments
from ._process import restart_with_hash_seed, stdout_for_results
from ._results import print_result
from ._workers import WorkerRole, worker_role
from .display import choose_display
from .display.stage_display import show_stages

if TYPE_CHECKING:
    from fitx.experiment.experiment import Experiment
    from fitx.training.result import Result


@click.command(short_help="Train an experiment.")
@_arguments.experiment_arguments
@_arguments.training_options
@_arguments.stop_after_option
def command(
    file: str,
    overrides: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **run_options: object,
) -> None:
    """Train FILE, an experiment file (its suffix may be left out) or a shipped experiment.

    \b
    fitx train digits
    fitx train my.yaml fit.epochs=20 optimizer.learning_rate=1e-4
    fitx train my.yaml '~callbacks' 'metrics+=mae'
    fitx train my.yaml --resume auto         starts, or resumes after an interruption
    """
    options = _RunOptions(**run_options)  # type: ignore[arg-type]
    with stdout_for_results() as output:
        experiment = _arguments.load_experiment(file, overrides)
        restart_with_hash_seed(experiment)
        with (
            worker_role(experiment, options.out, quiet=quiet) as role,
            show_stages(role.quiet),
        ):
            result = _train_or_resume(experiment, options, role)
    if role.is_chief:
        print_result(result, output, as_json=as_json)


@dataclass(frozen=True)
class _RunOptions:
    """The options that choose the run and how far it is trained."""

    out: Path
    smoke: bool
    resume: str | None
    allow_inexact: bool
    stop_after: int | None

    def __post_init__(self) -> None:
        if self.smoke and self.resume is not None:
            raise UsageError("--smoke and --resume cannot be combined.")


def _train_or_resume(experiment: Experiment, options: _RunOptions, role: WorkerRole) -> Result:
    """Start a run, or resume the one that --resume selects, and return its result."""
    from fitx.rundir.source_runs import with_source_runs
    from fitx.training.resumption.resume_request import (
        finished_result,
        open_for_resume_from_file,
        select_run,
    )
    from fitx.training.train_request import prepare_request

    display, inexact = partial(choose_display, role.quiet), options.allow_inexact
    run, notes = select_run(
        experiment, options.resume, options.out, allow_inexact=inexact, is_chief=role.is_chief
    )
    if run is None:
        experiment = with_source_runs(experiment, options.out)
        request = prepare_request(experiment, role.out, smoke=options.smoke)
        request = replace(request, stop_after=options.stop_after, notes=notes)

        from fitx.commands.train import train

        return train(experiment, request, display())
    result = finished_result(run, experiment)
    if result is not None:
        return result
    with open_for_resume_from_file(
        role.run_folder(run), experiment, allow_inexact=inexact
    ) as resumption:
        from fitx.commands.resume import resume

        notes = (*notes, *resumption.notes)
        resumption = replace(resumption, stop_after=options.stop_after, notes=notes)
        return resume(resumption, display())
