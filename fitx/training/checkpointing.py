"""Decides when to save a checkpoint, and writes it in the background while training continues."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fitx import checkpoint
from fitx.checkpoint.background_writer import Writer
from fitx.checkpoint.state_names import FINAL, part, prefixed
from fitx.experiment.schema import Checkpoint
from fitx.training.state.snapshot import Snapshot
from fitx.training.state.variables import State

TIME_SHARE = 0.03
"""The share of the training time that `every: auto` spends on checkpoints."""

LONGEST_SECONDS = 300.0
"""The longest time between two checkpoints of `every: auto`, in seconds."""

CaptureSnapshot = Callable[[], Snapshot]
"""Captures a snapshot of the run; called just before it is saved."""


class CheckpointSaver:
    """Writes the checkpoints of one run, one at a time, while training continues.

    An error of the background write is raised by the next call of `check`, `save` or `wait`.

    Args:
        folder: The run's `checkpoints` folder.
        settings: The experiment's `checkpoint` section.
        sync: Flushes the journal to disk; called before each checkpoint, which relies on it.
        run_id: The id of the run, which every checkpoint records.
        clock: A monotonic clock in seconds.

    Attributes:
        last: The newest checkpoint on disk; None before the first.
        last_best: The best epoch that it holds, as JSON; None without one.
    """

    def __init__(
        self,
        folder: Path,
        settings: Checkpoint,
        sync: Callable[[], None] = lambda: None,
        run_id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.settings, self.sync = folder, settings, sync
        self.run_id, self.clock = run_id, clock
        self.last: Path | None = None
        self.last_best: dict[str, Any] | None = None
        self._saved: tuple[int, str] | None = None
        self._every, self._unit = _cadence(settings.every)
        self._saved_at = clock()
        self._copying = 0.0
        self._writer = Writer()

    def resume_from(self, folder: Path, snapshot: Snapshot) -> None:
        """Begin with a checkpoint that is already on disk."""
        self.last, self.last_best = folder, snapshot.meta.get("best")
        self._saved = _key(snapshot.meta)

    def steps_until_due(self, steps_done: int) -> int:
        """Return the steps until the next checkpoint of `every: N steps`; else `maxsize`."""
        return self._every - steps_done % self._every if self._unit == "steps" else sys.maxsize

    def is_due_after_step(self, steps_done: int) -> bool:
        """Return whether to save after `steps_done` training steps, by their number or by time."""
        if self._unit == "steps":
            return steps_done % self._every == 0
        if self._unit == "minutes":
            return self._seconds_since_save() >= 60 * self._every
        return self._unit == "auto" and self._seconds_since_save() >= LONGEST_SECONDS

    def is_due_after_epoch(self) -> bool:
        """Return whether to save after an epoch: always for `epoch`, for `auto` if cheap enough."""
        if self._unit != "auto" or self._writer.is_busy:
            return self._unit == "epoch"
        return self._copying + self._writer.seconds <= TIME_SHARE * self._seconds_since_save()

    def save(self, capture_snapshot: CaptureSnapshot) -> None:
        """Begin to write a checkpoint, unless the last one was saved at the same step and phase."""
        # Waiting first keeps memory to one copy of the state.
        self.wait()
        began = self.clock()
        snapshot = capture_snapshot()
        if _key(snapshot.meta) == self._saved:
            return
        self._saved_at = self.clock()
        self._copying = self._saved_at - began
        self._write(snapshot)

    def check(self) -> None:
        """Raise an error of the background write, without waiting for it."""
        self._writer.check()

    def wait(self) -> None:
        """Wait until everything that was saved is on disk."""
        self._writer.wait()

    def save_final_weights(self, model: State) -> None:
        """Save once more if the final variables differ from those of the last checkpoint.

        When `fit` ends, Keras may assign averaged weights, and early stopping may restore those of
        the best epoch. Training can only continue from the weights before, so both are kept.
        """
        self.wait()
        if self.last is None:
            return
        state, meta = checkpoint.load(self.last)
        saved = part(state, FINAL) or state
        if any(not _is_same(array, saved.get(name)) for name, array in model.items()):
            self._write(Snapshot({**state, **prefixed(FINAL, model)}, meta))
            self.wait()

    def _write(self, snapshot: Snapshot) -> None:
        self._writer.write(lambda: self._commit(snapshot))
        self._saved = _key(snapshot.meta)

    def _commit(self, snapshot: Snapshot) -> Path:
        steps_done, keep = snapshot.meta["step"], self.settings.keep
        snapshot.refuse_non_finite()
        self.sync()
        meta = {**snapshot.meta, "run": self.run_id}
        self.last = checkpoint.save(self.folder, steps_done, snapshot.state, meta, keep)
        self.last_best = snapshot.meta.get("best")
        return self.last

    def _seconds_since_save(self) -> float:
        return self.clock() - self._saved_at


def _key(meta: dict[str, Any]) -> tuple[int, str]:
    """Return step and phase, which identify a checkpoint of a run."""
    return meta["step"], meta["phase"]


def _is_same(array: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and array.tobytes() == other.tobytes()


def _cadence(every: str) -> tuple[int, str]:
    """Split `500 steps` into 500 and "steps"; `auto` and `epoch` become units with the number 1."""
    number, _, unit = every.rpartition(" ")
    return (int(number), f"{unit.rstrip('s')}s") if number else (1, unit)
