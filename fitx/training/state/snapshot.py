"""Snapshots of a run: its position and the named arrays that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fitx.checkpoint.state_names import BEST, FINAL, part
from fitx.errors import Diverged
from fitx.training.state.best_epoch import BestEpoch, BestEpochTracker
from fitx.training.state.finite import ADVICE, first_non_finite, non_finite_number, position_text
from fitx.training.state.variables import State

CALLBACKS = "callbacks/"
"""Prefix of the arrays in the callbacks' states."""

RANDOM = "random/"
"""Prefix of the states of Python's and NumPy's random generators."""

_META_KEYS = {"epoch_steps": "passed"}
"""Keys of meta.json that differ from the names of the fields of `Position`."""


@dataclass
class Position:
    """The position of a run in its training; every checkpoint records it.

    Attributes:
        epoch: The number of finished epochs.
        step: Training steps since the start of the run.
        epoch_steps: Those of them that belong to the current epoch.
        phase: A training "epoch", the "validation" after its steps, or "between" two epochs, which
            includes the time before the first and after the last.
        stopping: Whether a callback has asked to end the training.
        seconds: The time that the finished epochs took.
        begun: The time that the current epoch has taken so far, in seconds.
    """

    epoch: int = 0
    step: int = 0
    epoch_steps: int = 0
    phase: str = "between"
    stopping: bool = False
    seconds: float = 0.0
    begun: float = 0.0

    def batches(self, steps_per_epoch: int) -> int:
        """Return the index of the next batch, if every epoch has the same number of steps."""
        return self.epoch * steps_per_epoch + self.epoch_steps

    def to_json(self) -> dict[str, Any]:
        """Return the position as meta.json records it."""
        return {_META_KEYS.get(name, name): value for name, value in asdict(self).items()}


def position_from_meta(meta: Mapping[str, Any]) -> Position:
    """Return the position that a checkpoint records."""
    names = [field.name for field in fields(Position)]
    return Position(**{name: meta[_META_KEYS.get(name, name)] for name in names})


@dataclass(frozen=True)
class Snapshot:
    """The state of a run at one instant.

    Attributes:
        state: Arrays by name.
        meta: Everything else, ready for JSON.
        finite_names: Names of the arrays that must be finite for training to continue.
    """

    state: State
    meta: dict[str, Any]
    finite_names: frozenset[str] = frozenset()

    def over(self, other: Snapshot) -> Snapshot:
        """Return the other snapshot, updated with the arrays and meta of this one."""
        state, meta = {**other.state, **self.state}, {**other.meta, **self.meta}
        return Snapshot(state, meta, self.finite_names | other.finite_names)

    def refuse_non_finite(self) -> None:
        """Raise Diverged if an array that must be finite is not; takes milliseconds per 100 MB."""
        name = first_non_finite({name: self.state[name] for name in sorted(self.finite_names)})
        if name is not None:
            epoch = self.meta["epoch"] + (self.meta["phase"] != "between")
            text = f"'{name}' holds {non_finite_number(self.state[name])}"
            raise Diverged(text, position_text(self.meta["step"], epoch), ADVICE)


def best_epoch(snapshot: Snapshot, tracker: BestEpochTracker) -> BestEpoch | None:
    """Return the best epoch of a snapshot; None if it was chosen by another value or mode."""
    recorded = snapshot.meta.get("best")
    monitored_value = (tracker.monitor, tracker.mode)
    if recorded is None or (recorded["monitor"], recorded["mode"]) != monitored_value:
        return None
    return BestEpoch(**recorded, weights=part(snapshot.state, BEST))


def training_part(state: State) -> State:
    """Return the arrays that are variables of the training."""
    others = (BEST, FINAL, CALLBACKS, RANDOM)
    return {name: array for name, array in state.items() if not name.startswith(others)}
