"""An experiment made, traced and fit to run, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import keras

from fitx import runtime
from fitx.build.built import BuiltExperiment
from fitx.build.execution_setup import Task, prepare_execution
from fitx.build.make import make
from fitx.build.preflight import agreement
from fitx.experiment import plugins
from fitx.experiment.experiment import Experiment
from fitx.runtime import Runtime
from fitx.training.export import refuse_unsavable
from fitx.training.progress import Display, Plan


def prepare_runtime(experiment: Experiment) -> Runtime:
    """Choose the device and seed everything, then import the plugins, which may start TensorFlow.

    What plugins draw as they are imported follows the seed; what is drawn later does not depend
    on it.

    Raises:
        DeviceError: A device is missing.
        ConfigError: A plugin does not import.
    """
    execution = experiment.execution
    prepared = runtime.prepare(
        device=execution.device,
        precision=execution.precision,
        deterministic=execution.deterministic,
        seed=experiment.seed,
        threads=execution.threads,
        strategy=execution.strategy,
        virtual_devices=execution.virtual_devices,
    )
    if experiment.plugins:
        plugins.load(experiment)
        keras.utils.set_random_seed(experiment.seed)
    return prepared


def build_and_trace(
    experiment: Experiment, device: Runtime, modes: Mapping[str, str] | None = None
) -> BuiltExperiment:
    """Make everything and find out whether it fits together.

    Args:
        experiment: What is to be trained.
        device: What computes.
        modes: How training ("train") and evaluation ("test") were executed by the run that goes
            on; None chooses.
    """
    built = make(experiment, device)
    prepare_execution(built, device, _tasks(built), modes)
    agreement.check_names(built)
    if experiment.plugins:
        refuse_unsavable(built.step)
    return built


def _tasks(built: BuiltExperiment) -> list[Task]:
    """Return what a run executes: training, all validations, and the test."""
    fit = built.experiment.fit
    passes = {"validation": fit.epochs // fit.validation_freq, "test": 1}
    train = [Task("train", "train", built.total_steps)] if fit.epochs else []
    measured = [split for split in passes if split in built.data.splits]
    return train + [Task("test", s, passes[s] * built.evaluation_steps(s)) for s in measured]


@contextmanager
def showing(display: Display, plan: Plan) -> Iterator[None]:
    """Show a plan and what follows, and give the terminal back whatever happens."""
    try:
        display.begin(plan)
        yield
    finally:
        display.end()
