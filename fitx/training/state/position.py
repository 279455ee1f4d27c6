"""Where a run stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass
class Position:
    """How far a run is; part of every checkpoint.

    Attributes:
        epoch: Epochs that are over.
        step: Training steps since the start of the run.
        passed: Those of them that belong to the epoch under way.
        phase: What is going on: a training `epoch`, the `validation` after its steps, or neither
            (`between` two epochs, before the first, after the last).
        stopping: Whether a callback has asked to end the training.
        seconds: What the epochs that are over took.
        begun: What the epoch under way has taken so far, in seconds.
    """

    epoch: int = 0
    step: int = 0
    passed: int = 0
    phase: str = "between"
    stopping: bool = False
    seconds: float = 0.0
    begun: float = 0.0

    def batches(self, steps_per_epoch: int) -> int:
        """Return the number of the next batch in the data, where every epoch has as many steps."""
        return self.epoch * steps_per_epoch + self.passed

    def to_json(self) -> dict[str, Any]:
        """Return the position as JSON has it."""
        return asdict(self)


def from_meta(meta: Mapping[str, Any]) -> Position:
    """Return the position that a checkpoint was taken at."""
    return Position(**{field.name: meta[field.name] for field in fields(Position)})
