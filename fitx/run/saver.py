"""When the state of a run goes to disk, as `checkpoint.every` asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fitx import checkpoint
from fitx.experiment.schema import Checkpoint
from fitx.run.best import Best
from fitx.run.state import capture, variables
from fitx.step import Step

SHARE = 0.03
"""Of the training time, what `every: auto` spends on checkpoints."""

LONGEST_SECONDS = 300.0
"""Between two checkpoints of `every: auto`."""


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
        self.last_step = -1
        self._every, self._unit = _cadence(settings.every)
        self._saved_at = clock()
        self._cost = 0.0

    def after_step(self, done: int, about: dict[str, Any]) -> None:
        """Save if a cadence of steps or minutes is due after `done` training steps."""
        by_steps = self._unit == "steps" and done % self._every == 0
        by_time = self._unit == "minutes" and self._idle() >= 60 * self._every
        if by_steps or by_time or (self._unit == "auto" and self._idle() >= LONGEST_SECONDS):
            self.save(done, about)

    def after_epoch(self, done: int, about: dict[str, Any]) -> None:
        """Save at an epoch's end: always for `epoch`, for `auto` where that is cheap enough."""
        cheap = self._unit == "auto" and self._cost <= SHARE * self._idle()
        if self._unit == "epoch" or cheap:
            self.save(done, about)

    def save(self, done: int, about: dict[str, Any]) -> None:
        """Write the state after `done` steps, unless that state is on disk already."""
        if done == self.last_step:
            return
        began = self.clock()
        state = capture(variables(self.step))
        meta = dict(about)
        if self.best.epoch is not None:
            state |= {f"best/{name}": array for name, array in self.best.epoch.weights.items()}
            meta["best"] = self.best.epoch.plain()
        self.last = checkpoint.save(self.folder, done, state, meta, self.settings.keep)
        self.last_step = done
        self._saved_at = self.clock()
        self._cost = self._saved_at - began

    def _idle(self) -> float:
        return self.clock() - self._saved_at


def _cadence(every: str) -> tuple[int, str]:
    """Split `500 steps` into 500 and steps; `auto` and `epoch` are units of one."""
    number, _, unit = every.rpartition(" ")
    return (int(number), f"{unit.rstrip('s')}s") if number else (1, unit)
