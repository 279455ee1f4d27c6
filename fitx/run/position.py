"""Where a run stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import TypeAdapter, ValidationError

from fitx.errors import StorageError

Count = Annotated[int, Ge(0)]


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

    epoch: Count = 0
    step: Count = 0
    passed: Count = 0
    phase: Literal["between", "epoch", "validation"] = "between"
    stopping: bool = False
    seconds: float = 0.0
    begun: float = 0.0

    def plain(self) -> dict[str, Any]:
        """Return the position as JSON has it."""
        return asdict(self)


def from_meta(meta: Mapping[str, Any]) -> Position:
    """Return the position that a checkpoint was taken at.

    Raises:
        StorageError: What the checkpoint says is no position.
    """
    said = {field.name: meta.get(field.name) for field in fields(Position)}
    try:
        return TypeAdapter(Position).validate_json(json.dumps(said), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        text = f"the checkpoint does not say where the run stood: its '{key}' is {said[key]!r}."
        raise StorageError(text) from error
