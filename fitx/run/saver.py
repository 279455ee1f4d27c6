"""When the state of a run goes to disk, as `checkpoint.every` asks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fitx import checkpoint
from fitx.experiment.schema import Checkpoint
from fitx.run.best import Best
from fitx.run.state import State, capture, network_state, variables
from fitx.step import Step

SHARE = 0.03
"""Of the training time, what `every: auto` spends on checkpoints."""

LONGEST_SECONDS = 300.0
"""Between two checkpoints of `every: auto`."""

BEST, FINAL = "best/", "final/"
"""How the names begin of the best epoch's networks, and of those a run ended with where these are
others than training left: averaged, or put back to an earlier epoch by a callback."""

About = Callable[[], dict[str, Any]]
"""Tells where a run stands; called when that is about to be saved."""


class Saver:
    """Writes checkpoints of one run.

    Args:
        folder: The run's `checkpoints` folder.
        step: What is saved: every variable of it.
        settings: The experiment's `checkpoint` section.
        best: The best epoch so far; its weights are part of every checkpoint.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        folder: Path,
        step: Step,
        settings: Checkpoint,
        best: Best,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.step, self.settings, self.best = folder, step, settings, best
        self.clock = clock
        self.last: Path | None = None
        self.last_best: dict[str, Any] | None = None
        self._last_step = -1
        self._every, self._unit = _cadence(settings.every)
        self._saved_at = clock()
        self._cost = 0.0

    def steps_until_due(self, done: int) -> int:
        """Return how many steps after `done` a cadence of steps is due; a huge number if never."""
        return self._every - done % self._every if self._unit == "steps" else sys.maxsize

    def after_step(self, done: int, about: About) -> None:
        """Save if a cadence of steps or minutes is due after `done` training steps."""
        by_steps = self._unit == "steps" and done % self._every == 0
        by_time = self._unit == "minutes" and self._idle() >= 60 * self._every
        if by_steps or by_time or (self._unit == "auto" and self._idle() >= LONGEST_SECONDS):
            self.save(done, about)

    def after_epoch(self, done: int, about: About) -> None:
        """Save at an epoch's end: always for `epoch`, for `auto` where that is cheap enough."""
        cheap = self._unit == "auto" and self._cost <= SHARE * self._idle()
        if self._unit == "epoch" or cheap:
            self.save(done, about)

    def save(self, done: int, about: About, earlier: State | None = None) -> None:
        """Write the state after `done` steps, unless that state is on disk already.

        Args:
            done: Training steps since the start of the run.
            about: Where the run stands.
            earlier: Values that have changed since those steps, as they were then.
        """
        if done == self._last_step:
            return
        began = self.clock()
        self._write(done, {**capture(variables(self.step)), **(earlier or {})}, about())
        self._last_step = done
        self._saved_at = self.clock()
        self._cost = self._saved_at - began

    def finish(self, done: int) -> None:
        """Save once more if the networks are no longer what the last checkpoint holds.

        Keras overwrites averaged weights when `fit` ends, early stopping may put back those of
        the best epoch. Training can only go on from what was there before, so both are kept.
        """
        if self.last is None:
            return
        state, meta = checkpoint.load(self.last)
        final = network_state(self.step)
        if any(not _same(array, state.get(name)) for name, array in final.items()):
            kept = {name: array for name, array in state.items() if not name.startswith(BEST)}
            self._write(done, {**kept, **_prefixed(FINAL, final)}, meta)

    def _write(self, done: int, state: State, meta: dict[str, Any]) -> None:
        best = self.best.epoch
        if best is not None:
            state |= _prefixed(BEST, best.weights)
            meta = {**meta, "best": best.plain()}
        self.last = checkpoint.save(self.folder, done, state, meta, self.settings.keep)
        self.last_best = meta.get("best")

    def _idle(self) -> float:
        return self.clock() - self._saved_at


def part(state: State, prefix: str) -> State:
    """Return what a checkpoint's state holds under BEST or FINAL; empty if it has no such part."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def _prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": array for name, array in state.items()}


def _same(array: np.ndarray, other: np.ndarray | None) -> bool:
    return other is not None and array.tobytes() == other.tobytes()


def _cadence(every: str) -> tuple[int, str]:
    """Split `500 steps` into 500 and steps; `auto` and `epoch` are units of one."""
    number, _, unit = every.rpartition(" ")
    return (int(number), f"{unit.rstrip('s')}s") if number else (1, unit)
