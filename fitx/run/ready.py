"""An experiment made, traced and fit to run, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping

from fitx.build import agreement
from fitx.build.make import make
from fitx.build.mode import Work, settle
from fitx.build.trial import Trial
from fitx.engine.mode import MODES
from fitx.experiment.experiment import Experiment
from fitx.run.networks import refuse_unsavable
from fitx.runtime import Runtime

KINDS = {"train": ("train",), "test": ("validation", "test")}
"""The splits that a step's two methods work on."""


def ready(experiment: Experiment, device: Runtime, modes: Mapping[str, str] | None = None) -> Trial:
    """Make everything and find out whether it fits together.

    Args:
        experiment: What is to be trained.
        device: What computes.
        modes: How training ("train") and evaluation ("test") were executed by the run that goes
            on; None chooses.
    """
    trial = make(experiment)
    trial.step.execution.device = device.device
    splits = _traced_splits(trial)
    agreement.trace(trial, splits)
    agreement.check_names(trial)
    for kind, own in KINDS.items():
        if not set(own) & set(splits):
            continue
        if modes is None:
            settle(Work(trial, kind, _steps(trial, kind), device.kind))
        else:
            trial.step.execution.modes[kind] = MODES[modes[kind]]
            trial.step.execution.why[kind] = "as the run began"
    if experiment.plugins:
        refuse_unsavable(trial.step)
    return trial


def _steps(trial: Trial, kind: str) -> int:
    """Return how many steps of training, or of all validations and the test, are to run."""
    if kind == "train":
        return trial.total_steps
    fit, splits = trial.experiment.fit, trial.data.splits
    passes = {"validation": fit.epochs // fit.validation_freq, "test": 1}
    return sum(passes[s] * trial.evaluation_steps(s) for s in passes if s in splits)


def _traced_splits(trial: Trial) -> tuple[str, ...]:
    """Return the splits whose shapes the step is traced on: train, and one to evaluate."""
    train = ("train",) if trial.experiment.fit.epochs else ()
    return (*train, *[s for s in ("validation", "test") if s in trial.data.splits][:1])
