"""An experiment made, traced and fit to run, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping

from fitx.build.built import Trial
from fitx.build.execution_setup import Task, prepare_execution
from fitx.build.make import make
from fitx.build.preflight import agreement
from fitx.experiment.experiment import Experiment
from fitx.runtime import Runtime
from fitx.training.export import refuse_unsavable


def ready(experiment: Experiment, device: Runtime, modes: Mapping[str, str] | None = None) -> Trial:
    """Make everything and find out whether it fits together.

    Args:
        experiment: What is to be trained.
        device: What computes.
        modes: How training ("train") and evaluation ("test") were executed by the run that goes
            on; None chooses.
    """
    trial = make(experiment)
    prepare_execution(trial, device, _tasks(trial), modes)
    agreement.check_names(trial)
    if experiment.plugins:
        refuse_unsavable(trial.step)
    return trial


def _tasks(trial: Trial) -> list[Task]:
    """Return what a run executes: training, all validations, and the test."""
    fit = trial.experiment.fit
    passes = {"validation": fit.epochs // fit.validation_freq, "test": 1}
    train = [Task("train", "train", trial.total_steps)] if fit.epochs else []
    measured = [split for split in passes if split in trial.data.splits]
    return train + [Task("test", s, passes[s] * trial.evaluation_steps(s)) for s in measured]
