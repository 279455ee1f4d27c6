"""Prepares a training before anything is written: runtime, built experiment, traced step."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from fitx import runtime
from fitx.build.built import BuiltExperiment
from fitx.build.execution_setup import PlannedSteps, prepare_execution
from fitx.build.make import make
from fitx.build.preflight import trace_and_check
from fitx.experiment import plugin_import
from fitx.experiment.experiment import Experiment
from fitx.runtime import Runtime


def prepare_runtime(experiment: Experiment) -> Runtime:
    """Choose the device and set the seed, then import the plugins, which may start TensorFlow.

    The seed is set again after the import, so that plugins that draw random numbers while they are
    imported do not change what is drawn later.

    Raises:
        DeviceError: A device is missing.
        ConfigError: A plugin cannot be imported.
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
        plugin_import.load(experiment)
        keras.utils.set_random_seed(experiment.seed)
    return prepared


def build_and_trace(
    experiment: Experiment, device: Runtime, modes: Mapping[str, str] | None = None
) -> BuiltExperiment:
    """Build an experiment, trace its step, choose the execution modes and check it all.

    Args:
        experiment: The experiment to train.
        device: The prepared runtime.
        modes: The modes of training ("train") and evaluation ("test") that a resumed run recorded;
            None chooses them.

    Raises:
        ConfigError, DataError, UserCodeError: The parts do not fit together.
    """
    built = make(experiment, device)
    prepare_execution(built, device, _planned_steps(built), modes)
    trace_and_check.check_names(built)
    return built


def _planned_steps(built: BuiltExperiment) -> list[PlannedSteps]:
    """Return the steps of a run: training, all validations, and the test."""
    fit = built.experiment.fit
    passes = {"validation": fit.epochs // fit.validation_freq, "test": 1}
    train = [PlannedSteps("train", "train", built.total_steps)] if fit.epochs else []
    return train + [
        PlannedSteps("test", split, count * built.evaluation_steps(split))
        for split, count in passes.items()
        if split in built.data.splits
    ]
