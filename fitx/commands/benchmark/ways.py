"""The ways to train that are compared: stock Keras, and each of fitx' modes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import keras
import tensorflow as tf

from fitx.build.built import BuiltExperiment
from fitx.build.execution_setup import Task, prepare_execution
from fitx.build.make import compile_step, make_networks, make_step
from fitx.build.step_feeds import training_feed
from fitx.data.splits import Split
from fitx.engine.modes.modes import PLAIN, Mode
from fitx.runtime import Runtime
from fitx.step import Step

STOCK = "stock fit"
"""What Keras' own way is called."""

LONGEST_EPOCH = 1.0
"""Seconds; an epoch that takes longer one step a call is cut short, for all ways alike."""

GROWTH = 8
"""How many times as long as the one before each epoch is that tells how long steps take."""


class Way:
    """One way to train an experiment, with networks, optimizers and metrics of its own.

    Args:
        built: What is trained.
        check: Called at the end of every epoch; ends the training by raising.
    """

    def __init__(self, built: BuiltExperiment, check: Callable[[], None]) -> None:
        self.built = built
        self._check = check

    def prepare(self) -> None:
        """Do what training does before `fit` is called."""

    def fit(self, epochs: int, callbacks: Iterable[keras.callbacks.Callback]) -> None:
        """Train for some epochs."""
        raise NotImplementedError

    def first_step(self) -> float:
        """Return the seconds until the first step is done: tracing, compiling, running it."""
        began, stop = time.perf_counter(), _StopAtOnce()
        self.prepare()
        self.fit(1, [stop])
        return stop.ended - began

    def epochs(self, count: int, callbacks: Iterable[keras.callbacks.Callback] = ()) -> list[float]:
        """Train; return the seconds of each epoch, without the first, which fills the pipeline."""
        clock = _EpochClock(self._check)
        self.fit(count + 1, [clock, *callbacks])
        return clock.seconds[1:]


class Stock(Way):
    """Keras' own `fit` with the experiment's step, on arrays as most people give them.

    Args:
        built: What is trained.
        check: As for every way.
        at_once: Steps in one call, which Keras calls `steps_per_execution`.
    """

    def __init__(self, built: BuiltExperiment, check: Callable[[], None], at_once: int = 1) -> None:
        super().__init__(built, check)
        self._model = _StockModel(built.step)
        self._model.compile(optimizer=None, steps_per_execution=at_once)

    def fit(self, epochs: int, callbacks: Iterable[keras.callbacks.Callback]) -> None:
        """Train as `model.fit(x, y)` does."""
        data = self.built.data
        self._model.fit(
            **data.splits["train"].arrays(),
            batch_size=data.batch_size,
            shuffle=data.shuffle,
            epochs=epochs,
            callbacks=list(callbacks),
            verbose=0,
        )


class Fitx(Way):
    """One of fitx' modes, as `fitx train` runs it.

    Args:
        built: What is trained.
        check: As for every way.
        mode: How its steps are executed.
        device: What computes.

    Attributes:
        feed: What `fit` is given; None for the experiment's data.
    """

    def __init__(
        self, built: BuiltExperiment, check: Callable[[], None], mode: Mode, device: Runtime
    ) -> None:
        super().__init__(built, check)
        self.mode, self.device = mode, device
        self.feed: tf.data.Dataset | None = None

    def prepare(self) -> None:
        """Trace the step, as is done before a run folder is made."""
        task = Task("train", "train", self.built.total_steps)
        prepare_execution(self.built, self.device, [task], {"train": self.mode.name})

    def fit(self, epochs: int, callbacks: Iterable[keras.callbacks.Callback]) -> None:
        """Train as `fitx train` does."""
        self.built.step.fit(
            training_feed(self.built) if self.feed is None else self.feed,
            epochs=epochs,
            steps_per_epoch=self.built.steps_per_epoch,
            callbacks=callbacks,
            verbose=0,
            shuffle=False,
        )


def shortened(
    built: BuiltExperiment, check: Callable[[], None], device: Runtime
) -> BuiltExperiment:
    """Return a built experiment of at most one epoch's rows, fewer where an epoch takes long."""
    way, steps = Fitx(another(built), check, PLAIN, device), 1
    way.prepare()
    most = min(built.steps_per_epoch, built.data.steps("train"))
    while True:
        way.built = replace(_cut(built, steps), step=way.built.step)
        seconds = way.epochs(1)[0]
        if steps == most or seconds * GROWTH > LONGEST_EPOCH:
            return _cut(built, max(1, min(most, int(steps * LONGEST_EPOCH / seconds))))
        steps = min(steps * GROWTH, most)


def another(built: BuiltExperiment) -> BuiltExperiment:
    """Return a built experiment with networks, step and optimizers of its own, on the same data."""
    networks = make_networks(built.experiment, built.data)
    made = replace(built, step=make_step(built.experiment, networks))
    compile_step(made)
    return made


def _cut(built: BuiltExperiment, steps: int) -> BuiltExperiment:
    """Return a built experiment whose data are the training rows of so many steps."""
    data = built.data
    rows = min(len(data.splits["train"]), steps * data.batch_size)
    arrays = data.splits["train"].arrays()
    split = Split(**{name: array[:rows] for name, array in arrays.items()})
    return replace(built, data=replace(data, splits={"train": split}), steps_per_epoch=steps)


class _StockModel(keras.Model):
    """A plain Keras model whose train step is an experiment's."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.step = step
        # Everything inside is built.
        self.built = True

    def train_step(self, data: Any) -> dict[str, Any]:
        """Train on one batch."""
        returned: dict[str, Any] = self.step.train_step(data)
        return returned

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The step's; Keras takes none from a model inside a model."""
        metrics: list[keras.metrics.Metric] = self.step.metrics
        return metrics


class _StopAtOnce(keras.callbacks.Callback):
    """Ends a training after the first call of its function."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = math.nan

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.ended = time.perf_counter()
        self.model.stop_training = True


class _EpochClock(keras.callbacks.Callback):
    """Notes how long each epoch takes; of batches Keras would tell it at some expense."""

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
