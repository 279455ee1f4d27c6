"""The best epoch so far, by the value that `checkpoint.monitor` names, and its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fitx.experiment.checks.metric_direction import direction
from fitx.experiment.schema import Checkpoint
from fitx.training.state.variables import State, capture


@dataclass(frozen=True)
class BestEpoch:
    """An epoch, the monitored value it reached, and a copy of what was measured then.

    Args:
        monitor: Name of the value.
        mode: Whether lower values are better ("min") or higher ones ("max").
        epoch: Its number; the first is 1.
        value: What was reached.
        weights: `model_variables` as they were before the epoch's validation.
    """

    monitor: str
    mode: str
    epoch: int
    value: float
    weights: State

    def to_json(self) -> dict[str, Any]:
        """Return what run.json and summary.json say of it."""
        names = ("monitor", "mode", "epoch", "value")
        return {name: getattr(self, name) for name in names}


class Best:
    """Watches one logged value; `epoch` is the best so far, None without a monitor."""

    def __init__(self, settings: Checkpoint) -> None:
        self.monitor = settings.monitor
        self.mode = settings.mode or (direction(settings.monitor) if settings.monitor else None)
        self.sign = -1.0 if self.mode == "min" else 1.0
        self.epoch: BestEpoch | None = None

    def see(
        self,
        epoch: int,
        values: dict[str, float],
        model: dict[str, Any],
        before: State | None = None,
    ) -> None:
        """Take the state of an epoch whose monitored value is better than any before; NaN is none.

        Args:
            epoch: Its number.
            values: What it logged.
            model: The `model_variables` that were measured.
            before: Variables as they were before the validation, which has changed them.
        """
        value = values.get(self.monitor) if self.monitor is not None else None
        if value is None or math.isnan(value) or self.monitor is None or self.mode is None:
            return
        if self.epoch is None or self.sign * value > self.sign * self.epoch.value:
            state = capture(model)
            state |= {name: array for name, array in (before or {}).items() if name in state}
            self.epoch = BestEpoch(self.monitor, self.mode, epoch, value, state)
