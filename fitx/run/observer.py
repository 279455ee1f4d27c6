"""What fitx does while Keras' `fit` runs: show, write down, keep, stop."""

from __future__ import annotations

import math
import time
from typing import Any

import keras

from fitx.errors import Diverged, Interrupted
from fitx.run.display import Display
from fitx.run.saver import Saver
from fitx.run.signals import StopRequest
from fitx.run.state import State, metric_state
from fitx.rundir.journal import Journal
from fitx.step import Step


class Observer(keras.callbacks.Callback):
    """The last callback of a run, so that it sees what the others add to an epoch's values.

    Args:
        display: Who watches.
        journal: The run's metrics.jsonl.
        saver: Writes the run's checkpoints, and knows the best epoch.
        stop: Whether a signal asked the run to stop.
        validation_steps: Batches of one validation, for the display.

    Raises:
        Diverged: An epoch logged NaN or an infinite value.
        Interrupted: A signal came; the state is on disk.
    """

    def __init__(
        self,
        display: Display,
        journal: Journal,
        saver: Saver,
        stop: StopRequest,
        validation_steps: int = 0,
    ) -> None:
        super().__init__()
        self.display, self.journal, self.saver, self.stop = display, journal, saver, stop
        self.validation_steps = validation_steps
        self.done = 0
        self.epoch = 0
        self.values: dict[str, float] = {}
        self.seconds = 0.0
        self._began = 0.0
        self._before = 0
        self._phase = "between"
        self._validated = 0
        self._trained: State = {}

    def about(self) -> dict[str, Any]:
        """Return where the run stands, as a checkpoint keeps it; the journal is on disk by then.

        `phase` tells what was going on: a training `epoch` or the `validation` after it, or
        neither (`between` two epochs, before the first, after the last).
        """
        self.journal.sync()
        where = {"epoch": self.epoch, "step": self.done, "phase": self._phase}
        return {**where, "journal_bytes": self.journal.size}

    def steps_until_due(self) -> int:
        """Return how many steps may run before a checkpoint by steps is due."""
        return self.saver.steps_until_due(self.done)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Begin an epoch; Keras counts from 0, people from 1."""
        self._began = time.perf_counter()
        self._before, self._phase = self.done, "epoch"
        self.display.epoch_begin(epoch + 1)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count the steps up to this one, the last that ran; save or stop if that is due."""
        self.done = self._before + batch + 1
        self.display.step(batch + 1, self.model.logged)
        self.saver.after_step(self.done, self.about)
        if self.stop.number:
            self.interrupt()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begin a validation; it counts in the same metrics as the epoch, which are kept."""
        self._phase = "validation"
        self._validated = 0
        self._trained = metric_state(self.model)

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count the validation steps up to this one; stop if that is due."""
        self._validated = batch + 1
        self.display.validation_step(self._validated, self.validation_steps)
        if self.stop.number:
            self.interrupt()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write down and show an epoch, keep it if it is the best, stop if it diverged."""
        seconds = time.perf_counter() - self._began
        self.seconds += seconds
        self.epoch = epoch + 1
        self._phase, self._trained = "between", {}
        self.values = _ordered(logs or {}, self.model)
        self.journal.append(self.epoch, self.done, seconds, self.values)
        self.display.epoch_end(self.epoch, self.values, seconds)
        refuse_divergence(self.values, f"in epoch {self.epoch}")
        self.saver.best.see(self.epoch, self.values, self.model)
        if self.model.stop_training or self.epoch == self.params["epochs"]:
            self.saver.save(self.done, self.about)
        else:
            self.saver.after_epoch(self.done, self.about)
        if self.stop.number:
            self.interrupt()

    def interrupt(self) -> None:
        """Put the state on disk and raise Interrupted."""
        self.saver.save(self.done, self.about, self._trained)
        folder = self.saver.last.name if self.saver.last else ""
        text = f"stopped by {self.stop.name} after step {self.done}; checkpoint {folder} is whole."
        raise Interrupted(text, self.stop.number)


def refuse_divergence(values: dict[str, float], when: str) -> None:
    """Raise Diverged if a value is NaN or infinite, naming each."""
    bad = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
    if bad:
        advice = "Lower the learning rate, or look at the data and the loss."
        raise Diverged(f"diverged: {', '.join(bad)} {when}. {advice}")


def _ordered(values: dict[str, float], step: Step) -> dict[str, float]:
    """Return an epoch's values in the order in which the step returns them."""
    train, test = step.logs["train"].names or (), step.logs["test"].names or ()
    order = [*train, *(f"val_{name}" for name in test)]
    first = {name: float(values[name]) for name in order if name in values}
    return {**first, **{k: float(v) for k, v in values.items() if k not in first}}
