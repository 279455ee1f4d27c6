"""Tracks the best epoch by the value that `checkpoint.monitor` names, and keeps its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fitx.experiment.checks.monitored_values import direction
from fitx.experiment.schema import Checkpoint
from fitx.training.state.variables import State, capture


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch, its monitored value, and a copy of its variables.

    Args:
        monitor: The name of the value.
        mode: "min" if lower values are better, "max" if higher ones are.
        epoch: Its number; the first is 1.
        value: The monitored value of this epoch.
        weights: `model_variables` as they were before the epoch's validation.
    """

    monitor: str
    mode: str
    epoch: int
    value: float
    weights: State

    def to_json(self) -> dict[str, Any]:
        """Return the epoch as run.json and summary.json record it."""
        names = ("monitor", "mode", "epoch", "value")
        return {name: getattr(self, name) for name in names}


class BestEpochTracker:
    """Compares one logged value over the epochs.

    Attributes:
        epoch: The best epoch so far; None before the first and without a monitor.
    """

    def __init__(self, settings: Checkpoint) -> None:
        self.monitor = settings.monitor
        self.mode = settings.mode or (direction(settings.monitor) if settings.monitor else None)
        self.sign = -1.0 if self.mode == "min" else 1.0
        self.epoch: BestEpoch | None = None

    def update(
        self,
        epoch: int,
        values: dict[str, float],
        model: dict[str, Any],
        before: State | None = None,
    ) -> None:
        """Copy the state of an epoch if its monitored value is the best so far; NaN never is.

        Args:
            epoch: Its number.
            values: Its logged values.
            model: The `model_variables` of the step.
            before: Those that the validation has changed, as they were before it.
        """
        value = values.get(self.monitor) if self.monitor is not None else None
        if value is None or math.isnan(value) or self.monitor is None or self.mode is None:
            return
        if self.epoch is None or self.sign * value > self.sign * self.epoch.value:
            state = capture(model)
            state |= {name: array for name, array in (before or {}).items() if name in state}
            self.epoch = BestEpoch(self.monitor, self.mode, epoch, value, state)
