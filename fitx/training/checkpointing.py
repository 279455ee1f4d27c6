"""When the state of a run goes to disk, as `checkpoint.every` asks: copied, then written beside."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fitx import checkpoint
from fitx.checkpoint.writer import Writer
from fitx.experiment.schema import Checkpoint
from fitx.training.state.snapshot import FINAL, Snapshot, part, prefixed
from fitx.training.state.variables import State

SHARE = 0.03
"""Of the training time, what `every: auto` spends on checkpoints."""

LONGEST_SECONDS = 300.0
"""Between two checkpoints of `every: auto`."""

Take = Callable[[], Snapshot]
"""Takes a snapshot of the run; called when that is about to be saved."""


class CheckpointSaver:
    """Writes checkpoints of one run, one at a time, while the training goes on.

    What goes wrong while one is written is raised by the next call of `check`, `save` or `wait`.

    Args:
        folder: The run's `checkpoints` folder.
        settings: The experiment's `checkpoint` section.
        sync: Called before each is written; puts on disk what it relies on.
        run: What the run is known by; every checkpoint says it.
        clock: Seconds that only grow.

    Attributes:
        last: The newest checkpoint that is on disk; None before the first.
        last_best: What is known of the best epoch that it holds.
    """

    def __init__(
        self,
        folder: Path,
        settings: Checkpoint,
        sync: Callable[[], None] = lambda: None,
        run: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.settings, self.sync = folder, settings, sync
        self.run, self.clock = run, clock
        self.last: Path | None = None
        self.last_best: dict[str, Any] | None = None
        self._saved: tuple[int, str] | None = None
        self._every, self._unit = _cadence(settings.every)
        self._saved_at = clock()
        self._copying = 0.0
        self._writer = Writer()

    def resume_from(self, folder: Path, snapshot: Snapshot) -> None:
        """Begin with a checkpoint that is on disk already."""
        self.last, self.last_best = folder, snapshot.meta.get("best")
        self._saved = _instant(snapshot.meta)

    def steps_until_due(self, done: int) -> int:
        """Return how many steps after `done` a cadence of steps is due; a huge number if never."""
        return self._every - done % self._every if self._unit == "steps" else sys.maxsize

    def is_due_after_step(self, done: int) -> bool:
        """Whether a cadence of steps or minutes is due after `done` training steps."""
        if self._unit == "steps":
            return done % self._every == 0
        if self._unit == "minutes":
            return self._idle() >= 60 * self._every
        return self._unit == "auto" and self._idle() >= LONGEST_SECONDS

    def is_due_after_epoch(self) -> bool:
        """Whether to save at an epoch's end: always for `epoch`, for `auto` if cheap enough."""
        if self._unit != "auto" or self._writer.is_busy:
            return self._unit == "epoch"
        return self._copying + self._writer.seconds <= SHARE * self._idle()

    def save(self, take: Take) -> None:
        """Begin to write a checkpoint, unless there is one of that very instant already."""
        # No more than one copy of the state is there beside the state itself.
        self.wait()
        began = self.clock()
        snapshot = take()
        if _instant(snapshot.meta) == self._saved:
            return
        self._saved_at = self.clock()
        self._copying = self._saved_at - began
        self._write(snapshot)

    def check(self) -> None:
        """Raise what has gone wrong since the last call; waits for nothing."""
        self._writer.check()

    def wait(self) -> None:
        """Return when everything that was saved is on disk."""
        self._writer.wait()

    def save_final_weights(self, model: State) -> None:
        """Save once more if what is measured is no longer what the last checkpoint holds.

        Keras overwrites averaged weights when `fit` ends, early stopping may put back those of
        the best epoch. Training can only go on from what was there before, so both are kept.
        """
        self.wait()
        if self.last is None:
            return
        state, meta = checkpoint.load(self.last)
        known = part(state, FINAL) or state
        if any(not _same(array, known.get(name)) for name, array in model.items()):
            self._write(Snapshot({**state, **prefixed(FINAL, model)}, meta))
            self.wait()

    def _write(self, snapshot: Snapshot) -> None:
        self._writer.write(lambda: self._commit(snapshot))
        self._saved = _instant(snapshot.meta)

    def _commit(self, snapshot: Snapshot) -> Path:
        done, keep = snapshot.meta["step"], self.settings.keep
        snapshot.refuse_non_finite()
        self.sync()
        meta = {**snapshot.meta, "run": self.run}
        self.last = checkpoint.save(self.folder, done, snapshot.state, meta, keep)
        self.last_best = snapshot.meta.get("best")
        return self.last

    def _idle(self) -> float:
        return self.clock() - self._saved_at


def _instant(meta: dict[str, Any]) -> tuple[int, str]:
    """Return what tells one state of a run from all its others."""
    return meta["step"], meta["phase"]


def _same(array: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and array.tobytes() == other.tobytes()


def _cadence(every: str) -> tuple[int, str]:
    """Split `500 steps` into 500 and steps; `auto` and `epoch` are units of one."""
    number, _, unit = every.rpartition(" ")
    return (int(number), f"{unit.rstrip('s')}s") if number else (1, unit)
