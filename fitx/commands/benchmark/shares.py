"""Where the time of a step goes: into its input, its dispatch, the device or the callbacks."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from fitx.build.execution_setup import ModeInputs
from fitx.build.make import make_callbacks
from fitx.build.step_feeds import training_feed
from fitx.commands.benchmark.ways import Fitx
from fitx.data.feed import ready_ahead
from fitx.data.row_blocks import training_blocks
from fitx.engine.modes.auto import is_sensible
from fitx.engine.modes.measure import measure
from fitx.engine.modes.modes import MODES

ADVICE = {
    "input": "rows come slower than the step takes them; keep them smaller (uint8, float16)",
    "dispatch": "starting the step costs more than computing it; raise data.batch_size",
    "device": "it computes; what helps is a faster device, a smaller network or fewer bits",
    "callbacks": "the slowest of them is {callback}; drop it, or let it do less",
}
"""What may help, where no other mode does."""


@dataclass(frozen=True)
class Shares:
    """The seconds of one step, by what they went into.

    Args:
        input: What a step takes less when its batch is always there already.
        dispatch: What `fit` takes for a step whose batch is there, beyond the step itself.
        device: The compiled step alone, on batches that are there, one call after the other or
            in a loop, whichever is faster.
        callbacks: Inside the experiment's callbacks; what they do at an epoch's ends is spread
            over the epoch's steps.
        slowest: The callback that takes the longest; empty without callbacks.
    """

    input: float
    dispatch: float
    device: float
    callbacks: float
    slowest: str

    def seconds(self) -> dict[str, float]:
        """Return the seconds by name."""
        return {name: getattr(self, name) for name in ADVICE}

    @property
    def bottleneck(self) -> str:
        """What takes the longest."""
        seconds = self.seconds()
        return max(seconds, key=lambda name: seconds[name])

    @property
    def advice(self) -> str:
        """What may help against the bottleneck."""
        return ADVICE[self.bottleneck].format(callback=self.slowest)


def measured(way: Fitx, epochs: int, rounds: int, steps_per_epoch: int, device_kind: str) -> Shares:
    """Find out where the time of a step goes.

    Args:
        way: How the experiment is trained; it has run before.
        epochs: How many are timed at a time.
        rounds: How often.
        steps_per_epoch: Of the whole training; what is timed may be less.
        device_kind: "cpu" or "gpu".
    """
    there, fed, resident = _resident(way), list[float](), list[float]()
    for _ in range(rounds):
        way.feed = None
        fed += way.epochs(epochs)
        way.feed = there
        resident += way.epochs(epochs)
    way.feed = None
    step, call = (statistics.median(times) / way.built.steps_per_epoch for times in (fed, resident))
    device = min(_device(way, device_kind), call)
    callbacks = _callbacks(way, epochs, steps_per_epoch)
    return Shares(
        input=max(0.0, step - call),
        dispatch=call - device,
        device=device,
        callbacks=sum(callbacks.values()),
        slowest=max(callbacks, key=lambda name: callbacks[name], default=""),
    )


def _resident(way: Fitx) -> tf.data.Dataset:
    """Return what the way is fed, but always the first of it, which is there at once."""
    first = next(iter(training_feed(way.built)))
    return ready_ahead(tf.data.Dataset.from_tensors(first).repeat())


def _device(way: Fitx, device_kind: str) -> float:
    """Return the seconds of the compiled step alone."""
    built = way.built
    inputs = ModeInputs(built, "train", built.total_steps, device_kind)
    graph, work = inputs.full.graph, inputs.count
    kin = [mode for mode in MODES.values() if mode.xla == way.mode.xla]
    modes = [mode for mode in kin if mode is way.mode or is_sensible(mode, work, device_kind)]
    block = next(iter(training_blocks(built.data)))
    found = measure(graph, block, modes, steps=sys.maxsize, operations=work.operations)
    return min(found.values())


def _callbacks(way: Fitx, epochs: int, steps_per_epoch: int) -> dict[str, float]:
    """Return the seconds a step of each of the experiment's callbacks, by its name.

    They run in a folder of their own, because some write files where the user stands.
    """
    experiment, spent = way.built.experiment, _Spent()
    if not experiment.callbacks:
        return {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        (Path(folder) / "samples").mkdir()
        callbacks = make_callbacks(experiment, Path(folder))
        heard: list[keras.callbacks.Callback] = [_Mark(spent, "")]
        for part, callback in zip(experiment.callbacks, callbacks, strict=True):
            heard += [callback, _Mark(spent, part.name)]
        done = 1 + len(way.epochs(epochs, heard))
    steps = done * way.built.steps_per_epoch
    return {
        name: spent.batches[name] / steps + spent.epochs[name] / done / steps_per_epoch
        for name in {part.name for part in experiment.callbacks}
    }


class _Spent:
    """The seconds that callbacks took at the ends of batches and of epochs, by name."""

    def __init__(self) -> None:
        self.batches: defaultdict[str, float] = defaultdict(float)
        self.epochs: defaultdict[str, float] = defaultdict(float)
        self.marked = 0.0


class _Mark(keras.callbacks.Callback):
    """Stands behind a callback and notes how long that took; a nameless one only starts.

    Args:
        spent: Where that is added up.
        name: Of the callback before it.
    """

    def __init__(self, spent: _Spent, name: str) -> None:
        super().__init__()
        self._spent, self._name = spent, name

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._note(self._spent.batches)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._note(self._spent.batches)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._note(self._spent.epochs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._note(self._spent.epochs)

    def _note(self, spent: dict[str, float]) -> None:
        now = time.perf_counter()
        if self._name:
            spent[self._name] += now - self._spent.marked
        self._spent.marked = now
