"""Trainings whose epochs are timed: by Keras' own `fit`, and in each execution mode of fitx."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras

from fitx.build.built import BuiltExperiment
from fitx.build.execution_setup import PlannedSteps, prepare_execution
from fitx.build.make import make_networks
from fitx.build.make_step import compile_step, make_step
from fitx.build.step_feeds import training_feed
from fitx.data.feed import training_batches
from fitx.engine.modes.execution_modes import PLAIN, Mode
from fitx.runtime import Runtime
from fitx.step import Step

LONGEST_EPOCH = 1.0
"""The most seconds of an epoch in plain mode; longer epochs are cut short, for all ways alike."""

GROWTH = 8
"""The factor by which `shortened` lengthens the epoch from one try to the next."""


class TimedTraining(ABC):
    """A training of an experiment with networks, optimizers and metrics of its own.

    Args:
        built: The experiment; only its data are shared.
        check: Called at the end of every epoch; ends the training by raising.
    """

    def __init__(self, built: BuiltExperiment, check: Callable[[], None]) -> None:
        self.built = copied(built)
        self._check = check

    def prepare(self) -> None:  # noqa: B027 - optional, only some trainings need it
        """Do what precedes the call of `fit`."""

    @abstractmethod
    def fit(self, epochs: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Train for some epochs."""

    def first_step(self) -> float:
        """Return the seconds until the first step has run, with tracing and compiling."""
        began, stop = time.perf_counter(), _StopAtOnce()
        self.prepare()
        self.fit(1, [stop])
        return stop.ended - began

    def epochs(self, count: int) -> list[float]:
        """Train; return the seconds of each epoch after the first, which fills the pipeline."""
        clock = _EpochClock(self._check)
        self.fit(count + 1, [clock])
        return clock.seconds[1:]


class StockTraining(TimedTraining):
    """Trains by Keras' own `fit` with the experiment's step, on arrays.

    Args:
        built: The experiment.
        check: As for `TimedTraining`.
        steps_per_call: Keras' `steps_per_execution`.
    """

    def __init__(
        self, built: BuiltExperiment, check: Callable[[], None], steps_per_call: int = 1
    ) -> None:
        super().__init__(built, check)
        self._model = _StockModel(self.built.step)
        self._model.compile(optimizer=None, steps_per_execution=steps_per_call)

    def fit(self, epochs: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Train as `model.fit(x, y)` does."""
        data = self.built.data
        source: dict[str, Any] = {
            **data.splits["train"].parts,
            "batch_size": data.batch_size,
            "shuffle": data.shuffle,
        }
        if data.others is not None:
            # Keras reads several datasets side by side as a tf.data.Dataset only.
            source = {"x": training_batches(data), "steps_per_epoch": data.steps("train")}
        self._model.fit(**source, epochs=epochs, callbacks=list(callbacks), verbose=0)


class FitxTraining(TimedTraining):
    """Trains in one of fitx' execution modes, as `fitx train` does.

    Args:
        built: The experiment.
        check: As for `TimedTraining`.
        mode: The execution mode.
        device: The device that trains.
    """

    def __init__(
        self, built: BuiltExperiment, check: Callable[[], None], mode: Mode, device: Runtime
    ) -> None:
        super().__init__(built, check)
        self.mode, self.device = mode, device

    def prepare(self) -> None:
        """Trace the step, as `fitx train` does before it makes a run folder."""
        task = PlannedSteps("train", "train", self.built.total_steps)
        prepare_execution(self.built, self.device, [task], {"train": self.mode.name})

    def fit(self, epochs: int, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        """Train as `fitx train` does."""
        self.built.step.fit(
            training_feed(self.built),
            epochs=epochs,
            steps_per_epoch=self.built.steps_per_epoch,
            callbacks=callbacks,
            verbose=0,
            shuffle=False,
        )


def shortened(
    built: BuiltExperiment, check: Callable[[], None], device: Runtime
) -> BuiltExperiment:
    """Return an experiment whose epoch is at most one pass over the rows, and at most a second."""
    training, steps = FitxTraining(built, check, PLAIN, device), 1
    training.prepare()
    most = min(built.steps_per_epoch, built.data.steps("train"))
    while True:
        training.built = replace(_cut(built, steps), step=training.built.step)
        seconds = training.epochs(1)[0]
        if steps == most or seconds * GROWTH > LONGEST_EPOCH:
            return _cut(built, max(1, min(most, int(steps * LONGEST_EPOCH / seconds))))
        steps = min(steps * GROWTH, most)


def copied(built: BuiltExperiment) -> BuiltExperiment:
    """Return an experiment with networks, step and optimizers of its own, on the same data."""
    networks = make_networks(built.experiment, built.data)
    copy = replace(built, step=make_step(built.experiment, networks, built.steps_per_epoch))
    compile_step(copy)
    return copy


def _cut(built: BuiltExperiment, steps: int) -> BuiltExperiment:
    """Return an experiment whose data are the training rows of the first steps."""
    data = built.data
    rows = min(len(data.splits["train"]), steps * data.batch_size)
    split = data.splits["train"].mapped(lambda array: array[:rows])
    return replace(built, data=replace(data, splits={"train": split}), steps_per_epoch=steps)


class _StockModel(keras.Model):
    """A plain Keras model that trains by an experiment's train step."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step
        # The networks of the step are built.
        self.built = True

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on one batch."""
        logs: dict[str, Any] = self.step.train_step(data)
        return logs

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The metrics of the step; Keras finds none in a model inside a model."""
        metrics: list[keras.metrics.Metric] = self.step.metrics
        return metrics


class _StopAtOnce(keras.callbacks.Callback):
    """Ends a training after the first call of its train function."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = math.nan

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.ended = time.perf_counter()
        self.model.stop_training = True


class _EpochClock(keras.callbacks.Callback):
    """Measures the time of each epoch. It has no hooks for batches, which would slow Keras down."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._check = check
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.seconds.append(time.perf_counter() - self._began)
        self._check()
