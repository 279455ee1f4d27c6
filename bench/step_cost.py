"""The cost of one training step through fitx against stock `model.fit(verbose=0)`.

Both train the same network on the same arrays with the same train step. A long and a short
training are timed and subtracted, so that tracing, saving and set-up cancel out.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
from hand_written.simple import CustomModel
from run import show_ratio

from fitx.build.make import make, make_data
from fitx.experiment.check import read
from fitx.run.train import Order, train

SHORT, LONG = 2, 42


class Silent:
    """A display that shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def main() -> None:
    """Compare two experiments whose steps are small, where overhead shows most."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    for name in ("guide/simple", "digits"):
        words = ["data.validation_split=0"] if name == "digits" else []
        words += ["~expect", "~checkpoint"] if name == "digits" else []
        show_ratio(
            f"a step of {name} through fitx / stock fit",
            lambda name=name, words=words: per_step(name, words, through_fitx),
            lambda name=name, words=words: per_step(name, words, through_stock),
            rounds,
        )


def per_step(name: str, words: list[str], run: Callable[[str, list[str], int], int]) -> float:
    """Return the seconds of one step, by the difference of a long and a short training."""
    times, steps = [], []
    for epochs in (SHORT, LONG):
        began = time.perf_counter()
        steps.append(run(name, [*words, f"fit.epochs={epochs}"], epochs))
        times.append(time.perf_counter() - began)
    return (times[1] - times[0]) / (steps[1] - steps[0])


def through_fitx(name: str, words: list[str], epochs: int) -> int:
    """Train as the command does, run folder and all; return the number of steps."""
    with tempfile.TemporaryDirectory() as out:
        result = train(read(name, words), Order(Path(out)), Silent())
    return int(result.facts["steps"])


def through_stock(name: str, words: list[str], epochs: int) -> int:
    """Train with Keras alone on the same arrays; return the number of steps."""
    experiment = read(name, words)
    keras.utils.set_random_seed(experiment.seed)
    trial = make(experiment)
    network = trial.step.networks["model"]
    model = CustomModel(network.inputs, network.outputs)
    metrics = [metric.name for metric in experiment.metrics]
    loss = experiment.loss.name if experiment.loss else None
    model.compile(optimizer="adam", loss=loss, metrics=metrics)
    split = make_data(experiment).splits["train"]
    model.fit(split.x, split.y, batch_size=trial.data.batch_size, epochs=epochs, verbose=0)
    return trial.steps_per_epoch * epochs


if __name__ == "__main__":
    main()
