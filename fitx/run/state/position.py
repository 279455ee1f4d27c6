"""Where a run stands, and what else its checkpoints must say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge, Lt
from pydantic import BaseModel, ConfigDict, ValidationError

from fitx.errors import StorageError

Count = Annotated[int, Ge(0), Lt(10**18)]


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

    def plain(self) -> dict[str, Any]:
        """Return the position as JSON has it."""
        return asdict(self)


class _Best(BaseModel):
    monitor: str
    mode: Literal["min", "max"]
    epoch: Count
    value: float


class _Said(BaseModel):
    """What a checkpoint says beside its arrays."""

    model_config = ConfigDict(strict=True)

    epoch: Count
    step: Count
    passed: Count
    phase: Literal["between", "epoch", "validation"]
    stopping: bool
    seconds: float
    begun: float
    journal_bytes: Count
    callbacks: dict[str, Any]
    callback_options: dict[str, str]
    built_rates: dict[str, float]
    batch_size: Annotated[int, Ge(1), Lt(10**18)]
    best: _Best | None = None


def demand_meta(meta: Any) -> None:
    """Raise StorageError unless a checkpoint says everything that a run goes on from."""
    try:
        _Said.model_validate(meta if isinstance(meta, dict) else {})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        text = f"the checkpoint does not say where the run stood: '{key}': {first['msg']}."
        raise StorageError(text) from error


def from_meta(meta: Mapping[str, Any]) -> Position:
    """Return the position that a checkpoint was taken at."""
    return Position(**{field.name: meta[field.name] for field in fields(Position)})
