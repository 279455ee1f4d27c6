"""What fitx does while Keras' `fit` runs: show, write down, keep, stop."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import keras

from fitx.errors import Diverged, Interrupted
from fitx.run.best import Best
from fitx.run.display import Display
from fitx.run.saver import Saver
from fitx.run.signals import StopRequest
from fitx.rundir.journal import Journal
from fitx.step import Step


class Observer(keras.callbacks.Callback):
    """The last callback of a run, so that it sees what the others add to an epoch's values.

    Args:
        display: Who watches.
        journal: The run's metrics.jsonl.
        saver: Writes the run's checkpoints.
        best: The best epoch so far.
        stop: Whether a signal asked the run to stop.

    Raises:
        Diverged: An epoch logged NaN or an infinite value.
        Interrupted: A signal came; the state is on disk.
    """

    def __init__(
        self, display: Display, journal: Journal, saver: Saver, best: Best, stop: StopRequest
    ) -> None:
        super().__init__()
        self.display, self.journal, self.saver = display, journal, saver
        self.best, self.stop = best, stop
        self.done = 0
        self.epoch = 0
        self.values: dict[str, float] = {}
        self.seconds = 0.0
        self._began = 0.0
        self._validation_steps = 0

    @property
    def about(self) -> dict[str, Any]:
        """Where the run stands, as a checkpoint keeps it."""
        return {"epoch": self.epoch, "step": self.done, "journal_bytes": self.journal.size}

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Begin an epoch; Keras counts from 0, people from 1."""
        self._began = time.perf_counter()
        self.display.epoch_begin(epoch + 1)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count a step; save or stop if that is due."""
        self.done += 1
        self.display.step(batch + 1, self.model.logged)
        self.saver.after_step(self.done, self.about)
        if self.stop.number:
            self._interrupt()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begin a validation."""
        self._validation_steps = 0

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count a validation step."""
        self._validation_steps += 1
        self.display.validation_step(self._validation_steps, 0)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write down and show an epoch, keep it if it is the best, stop if it diverged."""
        seconds = time.perf_counter() - self._began
        self.seconds += seconds
        self.epoch = epoch + 1
        self.values = _ordered(logs or {}, self.model)
        self.journal.append(self.epoch, self.done, seconds, self.values)
        self.display.epoch_end(self.epoch, self.values, seconds)
        refuse_divergence(self.values, f"in epoch {self.epoch}")
        self.best.see(self.epoch, self.values, self.model)
        self.saver.after_epoch(self.done, self.about)
        if self.stop.number:
            self._interrupt()

    def _interrupt(self) -> None:
        self.saver.save(self.done, self.about)
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


def relative_to_cwd(path: Path) -> str:
    """Return a path as the user may type it again."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except (ValueError, OSError):
        return str(path)
