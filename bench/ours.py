"""Times fitx in turn with other programs: python ours.py WHAT FILE [key=value ...]

WHAT is fit (the epochs of `fit`, as `fitx train` calls it, no callbacks), stock (the same step in
Keras' own `fit`), evaluate (one call of `evaluate`, on the training rows), train (an epoch of
everything `fitx train` does, validation, callbacks, journal and checkpoints: the median), mean (the
same: the mean) or stall (by how much a checkpoint holds up an epoch, the copy of the state aside).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.append(str(Path(__file__).parent / "peers"))

from turns import serve, timed

from fitx.build.built import BuiltExperiment
from fitx.build.execution_setup import PlannedSteps, prepare_execution
from fitx.build.make import make
from fitx.build.step_feeds import evaluation_feed
from fitx.cli.display import NoDisplay
from fitx.commands.benchmark.timed_training import FitxTraining, StockTraining, TimedTraining
from fitx.commands.train import train
from fitx.experiment.check import read
from fitx.experiment.experiment import Experiment
from fitx.runtime import Runtime
from fitx.training.setup import prepare_runtime
from fitx.training.state.run_state import RunState
from fitx.training.state.snapshot import Snapshot
from fitx.training.train_request import TrainRequest

SECONDS = 0.3
"""The duration of a turn, unless a single epoch takes longer."""


def main() -> None:
    """Prepare the experiment, and time it at every request."""
    what, file, *words = sys.argv[1:]
    experiment = read(file, words)
    turns = {"fit": fit, "stock": stock, "evaluate": evaluate, "train": whole}
    serve({**turns, "mean": mean, "stall": stall}[what](experiment))


def fit(experiment: Experiment) -> Callable[[], float]:
    """Return a function that trains and returns the median time of an epoch."""
    built, device = prepared(experiment, "train")
    mode = built.step.execution.plan.modes["train"]
    return epochs_of(FitxTraining(built, lambda: None, mode, device))


def stock(experiment: Experiment) -> Callable[[], float]:
    """Return such a function for Keras' own `fit`."""
    prepare_runtime(experiment)
    return epochs_of(StockTraining(make(experiment), lambda: None))


def epochs_of(training: TimedTraining) -> Callable[[], float]:
    """Return a function that trains on, after the first steps, and returns the median time."""
    training.prepare()
    training.epochs(2)
    count = max(1, int(SECONDS / training.epochs(1)[0]))
    return lambda: statistics.median(training.epochs(count))


def evaluate(experiment: Experiment) -> Callable[[], float]:
    """Return a function that evaluates and returns the median time of a call."""
    built, _ = prepared(experiment, "test")
    feed, steps = evaluation_feed(built, "train"), built.data.steps("train")

    def once() -> float:
        return timed(lambda: built.step.evaluate(feed, steps=steps, verbose=0, return_dict=True))

    once()
    return lambda: statistics.median(once() for _ in range(10))


def whole(experiment: Experiment) -> Callable[[], float]:
    """Return a function that trains and returns the median time between the ends of epochs."""
    return lambda: statistics.median(spans(experiment))


def mean(experiment: Experiment) -> Callable[[], float]:
    """Return a function that trains and returns the mean time between the ends of epochs."""
    return lambda: statistics.mean(spans(experiment))


def stall(experiment: Experiment) -> Callable[[], float]:
    """Return a function that trains with a checkpoint at the end of every other epoch.

    It returns by how much longer an epoch with a checkpoint takes, without the time in which the
    state is copied.
    """
    copies: list[float] = []
    take = RunState.capture

    def timed_capture(state: RunState) -> Snapshot:
        snapshots: list[Snapshot] = []
        copies.append(timed(lambda: snapshots.append(take(state))))
        return snapshots[0]

    RunState.capture = timed_capture  # type: ignore[method-assign]

    def once() -> float:
        copies.clear()
        taken = spans(experiment)
        written, free = statistics.median(taken[0::2]), statistics.median(taken[1::2])
        return written - free - statistics.median(copies)

    return once


def spans(experiment: Experiment) -> list[float]:
    """Train, and return the seconds from one epoch's end to the next, the first two left out."""
    display = EpochEnds()
    with tempfile.TemporaryDirectory() as out:
        train(experiment, TrainRequest(Path(out)), display)
    return [b - a for a, b in pairwise(display.ends[1:])]


class EpochEnds(NoDisplay):
    """Shows nothing, and records the times at which epochs end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        """Record the time."""
        self.ends.append(time.perf_counter())


def prepared(experiment: Experiment, kind: str) -> tuple[BuiltExperiment, Runtime]:
    """Return a traced experiment in the mode that it has for many epochs, and its device."""
    device = prepare_runtime(experiment)
    built = make(experiment)
    prepare_execution(built, device, [PlannedSteps(kind, "train", 1_000_000)])
    return built, device


if __name__ == "__main__":
    main()
