"""Where a training is interrupted that is to end as if it had not been."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitx.checkpoint import folders


@dataclass(frozen=True)
class Planned:
    """An interruption that is to come.

    Attributes:
        step: After which training step.
        every: None to stop the run there; else how often to save, as `checkpoint.every` says it,
            for the run to be killed at some instant after its checkpoint of that step.
    """

    step: int
    every: str | None = None


@dataclass(frozen=True)
class Interruption:
    """An interruption that took place.

    Attributes:
        step: The training step from which the run went on.
        phase: Whether that was within an `epoch` or `between` two.
        killed: Whether it was killed there, or stopped.
        folder: The name of the checkpoint from which it went on.
    """

    step: int
    phase: str
    killed: bool
    folder: str

    def __str__(self) -> str:
        where = "between two epochs, " if self.phase == "between" else ""
        return f"{'killed' if self.killed else 'stopped'} {where}after step {self.step:,}"

    def to_json(self) -> dict[str, Any]:
        """Return the interruption as JSON has it."""
        return {"step": self.step, "phase": self.phase, "killed": self.killed}


def plan(steps: int, steps_per_epoch: int, count: int, chance: random.Random) -> list[Planned]:
    """Choose steps to interrupt a training at, one of them to kill it.

    The kill comes after the end of an epoch, if there are several and it is not all there is; the
    others come within epochs, if those have steps enough.

    Args:
        steps: Of the whole training, two at least.
        steps_per_epoch: Of an epoch.
        count: How many interruptions; fewer where there are fewer steps.
        chance: Chooses.
    """
    ends = [step for step in range(steps_per_epoch, steps, steps_per_epoch) if count > 1]
    # So late a first checkpoint is followed by two others at most.
    killed = chance.choice(ends) if ends else chance.randrange(math.ceil(steps / 3), steps)
    others = [step for step in range(1, steps) if step != killed]
    chance.shuffle(others)
    others.sort(key=lambda step: step % steps_per_epoch == 0)
    stops = [Planned(step) for step in others[: count - 1]]
    kill = Planned(killed, "epoch" if ends else f"{killed} steps")
    return sorted([kill, *stops], key=lambda planned: planned.step)


class Instant:
    """The moment to kill a run, soon after a checkpoint is on disk.

    Args:
        checkpoints: The folder of its checkpoints, which may be yet to come.
        step: That of the checkpoint.
        delay: Seconds after it.
    """

    def __init__(self, checkpoints: Path, step: int, delay: float) -> None:
        self.checkpoints, self.step, self.delay = checkpoints, step, delay
        self._seen_at: float | None = None

    def __call__(self) -> bool:
        """Whether it has come."""
        if self._seen_at is None:
            steps = [folders.order(folder.name)[0] for folder in folders.listed(self.checkpoints)]
            if max(steps, default=0) < self.step:
                return False
            self._seen_at = time.monotonic()
        return time.monotonic() - self._seen_at >= self.delay
