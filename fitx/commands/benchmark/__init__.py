"""Compares the speed of stock Keras and of every execution mode on one experiment."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from fitx.build.built import BuiltExperiment
from fitx.build.error_attribution import first_sentence, user_errors
from fitx.build.excluded_modes import excluded_modes
from fitx.build.execution_setup import PlannedSteps, prepare_execution
from fitx.build.make import make
from fitx.commands.benchmark.timed_training import (
    FitxTraining,
    StockTraining,
    TimedTraining,
    shortened,
)
from fitx.engine.modes.execution_modes import MODES
from fitx.errors import FitxError, Interrupted
from fitx.experiment.experiment import Experiment
from fitx.runtime import Runtime
from fitx.stages import Stage
from fitx.training.display_interface import Display, Plan, showing
from fitx.training.plan import parts_line
from fitx.training.setup import prepare_runtime
from fitx.training.signals import StopRequest, listening
from fitx.training.train_request import demand_training

STOCK = "stock fit"
"""The name of Keras' own `fit` in the table."""

STEPS_PER_CALL = 100
"""The value of Keras' `steps_per_execution` in the second row of the table."""

ROUND_SECONDS = 0.4
"""The time that a round of one way takes, unless two of its epochs take longer."""

MOST_EPOCHS = 50
"""The most epochs of a round."""


@dataclass(frozen=True)
class Row:
    """The times of one way to train.

    Args:
        name: `stock fit`, or a mode.
        first_step: Seconds until the first step has run, with tracing and compiling.
        step: Seconds of each later step; the costs of an epoch are spread over its steps.
        examples_per_second: The training examples per second at that rate.
        ratio: The speed relative to stock `fit`, the median over the rounds.
        reason: Why the row has no times; None if it has.
    """

    name: str
    first_step: float | None = None
    step: float | None = None
    examples_per_second: float | None = None
    ratio: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Comparison:
    """All ways to train an experiment, side by side.

    Args:
        experiment: The name of the experiment.
        device: A description of the device.
        batch_size: The examples per step.
        steps: The steps of each timed epoch.
        rows: One row per way.
        mode: The mode in which `fitx train` trains the experiment.
        why: The reason for that mode.
    """

    experiment: str
    device: str
    batch_size: int
    steps: int
    rows: tuple[Row, ...]
    mode: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return everything as the one JSON object of `--json`."""
        return {**vars(self), "rows": [vars(row) for row in self.rows]}


def bench(experiment: Experiment, display: Display, rounds: int = 5) -> Comparison:
    """Time stock Keras and every mode on an experiment; leave no files.

    Args:
        experiment: The experiment to train.
        display: Shows the progress.
        rounds: In each round every way is timed once, so that a drift of the machine's speed
            affects all ways alike.

    Raises:
        ConfigError: Nothing is trained, several devices are asked for, or the parts do not fit.
        DataError, DeviceError, UserCodeError: As for training.
        Interrupted: A signal came.
    """
    demand_training(experiment, smoke=True)
    if experiment.execution.strategy != "auto":
        text = "`fitx bench` times a single device; run it with execution.strategy=auto."
        raise experiment.error(("execution", "strategy"), text)
    device = prepare_runtime(experiment)
    built = make(experiment)
    rows, size = len(built.data.splits["train"]), built.data.batch_size
    summary = parts_line(built, f"{rows:,} examples in batches of {size:,}")
    plan = Plan(experiment.name, "", device.description, 0, 0, summary)
    with listening() as stop, showing(display, plan), user_errors(experiment):
        prepare_execution(built, device, [PlannedSteps("train", "train", built.total_steps)])
        return _Bench(built, device, display, stop).comparison(rounds)


class _Bench:
    """One comparison in progress.

    Args:
        built: The experiment; its execution is prepared.
        device: The device that trains.
        display: Shows the progress.
        stop: Asked whether a signal came.
    """

    def __init__(
        self, built: BuiltExperiment, device: Runtime, display: Display, stop: StopRequest
    ) -> None:
        self._built, self._device, self._display, self._stop = built, device, display, stop
        self._rows: dict[str, Row] = {}

    def comparison(self, rounds: int) -> Comparison:
        """Time every way in this number of rounds."""
        plan = self._built.step.execution.plan
        built = shortened(self._built, self._check, self._device)
        self._time(self._start(built), rounds)
        return Comparison(
            experiment=built.experiment.name,
            device=self._device.description,
            batch_size=built.data.batch_size,
            steps=built.steps_per_epoch,
            rows=tuple(self._rows.values()),
            mode=plan.modes["train"].name,
            why=plan.reasons["train"],
        )

    def _start(self, built: BuiltExperiment) -> dict[str, TimedTraining]:
        """Return the trainings that can take a step; every other gets a row with the reason."""
        started = dict[str, TimedTraining]()
        for name, training in self._trainings(built):
            try:
                with Stage(f"{name}: preparing the first step"):
                    first_step = training.first_step()
                with Stage(f"{name}: running the first epochs"):
                    # A fused mode adjusts how many steps it runs in one call.
                    training.epochs(1)
            except FitxError:
                raise
            except Exception as error:
                failure, self._rows[name] = error, Row(name, reason=first_sentence(error))
                self._display.note(f"{name}: {first_sentence(error)}")
            else:
                started[name], self._rows[name] = training, Row(name, first_step)
                self._display.note(f"{name}: first step after {first_step:.2f} s")
        if not started:
            raise failure
        return started

    def _trainings(self, built: BuiltExperiment) -> Iterator[tuple[str, TimedTraining]]:
        """Yield every way to train with its name; each that is left out gets its row."""
        yield STOCK, StockTraining(built, self._check)
        steps_per_call = min(STEPS_PER_CALL, built.steps_per_epoch)
        if steps_per_call > 1:
            name = f"{STOCK}, {steps_per_call} steps a call"
            yield name, StockTraining(built, self._check, steps_per_call)
        reasons = excluded_modes(self._built, self._device.kind)
        for mode in MODES.values():
            if mode.name in reasons:
                self._rows[mode.name] = Row(mode.name, reason=reasons[mode.name])
            else:
                yield mode.name, FitxTraining(built, self._check, mode, self._device)

    def _time(self, trainings: dict[str, TimedTraining], rounds: int) -> None:
        """Time all trainings in turn, round by round, and fill in their rows."""
        self._display.note(f"timing each in turn, {rounds} rounds")
        epochs = {name: _epochs(training) for name, training in trainings.items()}
        seconds = [
            {name: statistics.median(t.epochs(epochs[name])) for name, t in trainings.items()}
            for _ in range(rounds)
        ]
        for name, training in trainings.items():
            epoch = statistics.median(times[name] for times in seconds)
            ratios = [times[STOCK] / times[name] for times in seconds if STOCK in trainings]
            self._rows[name] = replace(
                self._rows[name],
                step=epoch / training.built.steps_per_epoch,
                examples_per_second=len(training.built.data.splits["train"]) / epoch,
                ratio=statistics.median(ratios) if ratios else None,
            )

    def _check(self) -> None:
        if self._stop.number:
            text = f"stopped by {self._stop.name} before all times were measured."
            raise Interrupted(text, self._stop.number)


def _epochs(training: TimedTraining) -> int:
    """Return the number of epochs that fill a round."""
    return max(1, min(MOST_EPOCHS, int(ROUND_SECONDS / training.epochs(1)[0])))
