"""Monitors Keras' `fit`: shows and records epochs, saves checkpoints, stops the training."""

from __future__ import annotations

import time
from dataclasses import replace

import keras

from fitx.build.built import BuiltExperiment
from fitx.errors import Interrupted, StorageError
from fitx.rundir import journal as journals
from fitx.rundir.journal import Journal
from fitx.step import Step
from fitx.training.checkpointing import CheckpointSaver
from fitx.training.display_interface import Display, FirstSteps
from fitx.training.nan_search.replay import ReplayLog
from fitx.training.signals import StopRequest
from fitx.training.state.finite import position_text, refuse_values
from fitx.training.state.run_state import RunState
from fitx.training.state.snapshot import Position, Snapshot, position_from_meta

CHECKED_EVERY = 1.0
"""Seconds between two checks of the current epoch for NaN and infinite values."""


class RunMonitor(keras.callbacks.Callback):
    """The last callback of a run, which sees the values that other callbacks add to an epoch.

    Args:
        display: Shows the progress.
        journal: The run's metrics.jsonl.
        saver: Writes the run's checkpoints.
        state: Captures and restores the state of the run.
        stop: Tells whether a signal asked the run to stop.
        built: The built experiment.

    Attributes:
        at: The position of the run.
        values: The logged values of the last epoch.
        replay_log: What a search for the first NaN needs besides checkpoints.

    Raises:
        Diverged: NaN or an infinite value was logged or would be saved.
        Interrupted: A signal stopped the run; its state is on disk.
    """

    def __init__(
        self,
        display: Display,
        journal: Journal,
        saver: CheckpointSaver,
        state: RunState,
        stop: StopRequest,
        built: BuiltExperiment,
    ) -> None:
        super().__init__()
        self.display, self.journal, self.saver, self.state = display, journal, saver, state
        self.stop, self.allow_nan = stop, built.experiment.fit.allow_nan
        has_validation = "validation" in built.data.splits
        self.validation_steps = built.evaluation_steps("validation") if has_validation else 0
        self.at = Position()
        self.values: dict[str, float] = {}
        self.replay_log = ReplayLog(state.variables)
        self._is_alone = built.experiment.execution.strategy != "multi_worker"
        self._rows = {"batch_size": built.data.batch_size}
        self._resumed: Snapshot | None = None
        self._before_validation: Snapshot | None = None
        self._began = self._checked = 0.0
        self._validated = 0
        self.first_steps = FirstSteps()

    def resume_from(self, snapshot: Snapshot) -> None:
        """Let `fit` continue from a snapshot; call it before `fit`.

        The snapshot overrides what callbacks set when training begins. It overrides what they set
        when an epoch begins only for an epoch that is continued.
        """
        self.at = position_from_meta(snapshot.meta)
        self.values = journals.last_values(journals.read(self.journal.run))
        self._resumed = snapshot

    def snapshot(self) -> Snapshot:
        """Return the current state of the run."""
        position = {**self.at.to_json(), "begun": self._seconds()}
        snapshot = self.state.capture()
        if self._before_validation is not None:
            snapshot = self._before_validation.over(snapshot)
        meta = {**snapshot.meta, **position, "journal_bytes": self.journal.size, **self._rows}
        return replace(snapshot, meta=meta)

    def running(self) -> str:
        """Return the method of the step that is running, and its split, as text."""
        if self.at.phase == "validation":
            return "test_step on the validation split"
        return "train_step on the train split"

    def steps_until_due(self) -> int:
        """Return the number of steps that may run before a checkpoint or a stop is due."""
        steps_done = self.at.step
        return min(self.saver.steps_until_due(steps_done), self.stop.steps_left(steps_done))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restore the state, after other callbacks have reset theirs."""
        if self._resumed is not None:
            self._restore(self._resumed)
        elif self._is_alone:
            self.replay_log.start = self.snapshot()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Begin or continue an epoch; Keras counts epochs from 0, fitx from 1."""
        self._began = self._checked = time.perf_counter()
        self.at.phase = "epoch"
        self.display.epoch_begin(epoch + 1)
        if self._resumed is not None:
            self._continue(self._resumed)
            self._resumed = None
        if self._is_alone:
            has_checkpoint = self.saver.last is not None
            self.replay_log.note_epoch_begin(self.at.step, has_checkpoint=has_checkpoint)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count the steps up to `batch`, the last that ran; save or stop if that is due."""
        self.first_steps.reached()
        self.at.step += batch + 1 - self.at.epoch_steps
        self.at.epoch_steps = batch + 1
        self.at.stopping = self.model.stop_training
        self.stop.count_steps(self.at.step)
        self.display.step(batch + 1, self.model.execution.logs["train"].result)
        self.saver.check()
        is_due = self.saver.is_due_after_step(self.at.step)
        if is_due or time.perf_counter() - self._checked > CHECKED_EVERY:
            self._check_values()
        if is_due:
            self.saver.save(self.snapshot)
        if self.stop.number:
            self.interrupt()

    def before_validation(self) -> None:
        """Copy what a validation changes, before any callback is notified of it.

        A validation uses the metrics of the epoch. A run that is stopped within a validation is
        resumed at its beginning.
        """
        self._before_validation = self.state.capture_before_validation()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begin a validation."""
        self.first_steps.begin("test")
        self.at.phase = "validation"
        self._validated = 0

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Count the validation steps up to this one; stop if that is due."""
        self.first_steps.reached()
        self._validated = batch + 1
        self.display.validation_step(self._validated, self.validation_steps)
        if self.stop.number:
            self.interrupt()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Record and show an epoch, copy its state if it is the best, stop if it diverged."""
        seconds = self._seconds()
        snapshot_before, self._before_validation = self._before_validation, None
        before = snapshot_before.state if snapshot_before is not None else None
        self.values = _ordered(logs or {}, self.model)
        self.at = Position(epoch + 1, self.at.step, seconds=self.at.seconds + seconds)
        self.at.stopping = self.model.stop_training
        self.journal.append(self.at.epoch, self.at.step, seconds, self.values)
        self.display.epoch_end(self.at.epoch, self.values, seconds)
        self._refuse(self.values, self.at.epoch)
        self.state.best.update(self.at.epoch, self.values, self.state.model, before)
        is_last = self.at.stopping or self.at.epoch == self.params["epochs"]
        if is_last or self.saver.is_due_after_epoch():
            self.saver.save(self.snapshot)
        if self.stop.number:
            self.interrupt()

    def interrupt(self) -> None:
        """Save the state and raise Interrupted."""
        self.saver.save(self.snapshot)
        self.saver.wait()
        folder = self.saver.last.name if self.saver.last else ""
        text = f"stopped by {self.stop.name} after step {self.at.step}; "
        raise Interrupted(f"{text}checkpoint {folder} is whole.", self.stop.number)

    def _continue(self, snapshot: Snapshot) -> None:
        """Continue an epoch, or begin the next one, with the history of the finished epochs."""
        history = self.model.history
        history.epoch, history.history = journals.history(journals.read(self.journal.run))
        if self.at.epoch_steps:
            self.at.phase = snapshot.meta["phase"]
            self._restore(snapshot)
            self.model.execution.continue_epoch()
            self.model.stop_training = self.at.stopping
        # It is as large as the state itself, and the caller keeps the snapshot until the run ends.
        snapshot.state.clear()

    def _restore(self, snapshot: Snapshot) -> None:
        try:
            self.state.restore(snapshot)
        except StorageError as error:
            raise StorageError(f"checkpoint {self.saver.last} is damaged: {error}") from error

    def _check_values(self) -> None:
        """Raise Diverged if the current epoch has diverged; skipped with several processes.

        Each of them would stop at another step.
        """
        self._checked = time.perf_counter()
        if self.model.execution.strategy is None:
            self._refuse(self.model.execution.logs["train"].result(), self.at.epoch + 1)

    def _refuse(self, values: dict[str, float], epoch: int) -> None:
        refuse_values(values, position_text(self.at.step, epoch), allow_nan=self.allow_nan)

    def _seconds(self) -> float:
        """Return the seconds that the current epoch has taken so far."""
        is_running = self.at.phase != "between"
        return self.at.begun + time.perf_counter() - self._began if is_running else 0.0


class ValidationStart(keras.callbacks.Callback):
    """The first callback of a run, which notifies the monitor of a validation before all others."""

    def __init__(self, run_monitor: RunMonitor) -> None:
        super().__init__()
        self.run_monitor = run_monitor

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Notify the monitor that a validation is about to begin."""
        self.run_monitor.before_validation()


def _ordered(values: dict[str, float], step: Step) -> dict[str, float]:
    """Return the values of an epoch in the order in which the step returns them."""
    train, test = step.execution.logs["train"].names or (), step.execution.logs["test"].names or ()
    names = [*train, *(f"val_{name}" for name in test)]
    first = {name: float(values[name]) for name in names if name in values}
    return {**first, **{k: float(v) for k, v in values.items() if k not in first}}
