"""What `fitx bench` found: a row for every way to train, and where the time goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fitx.commands.benchmark.shares import Shares
from fitx.engine.modes.modes import MODES

WORTH = 0.95
"""Of the time in the experiment's own mode: a mode that needs less is worth a word."""


@dataclass(frozen=True)
class Row:
    """What was measured of one way to train.

    Args:
        name: "stock fit", or a mode.
        first_step: Seconds until the first step is done: tracing, compiling, running it.
        step: Seconds of a step after that, an epoch's own costs spread over its steps.
        examples_per_second: Trained, at that rate.
        ratio: How many times as fast as stock `fit` it is: the median of the rounds' ratios.
        reason: Why there are no numbers, where there are none.
    """

    name: str
    first_step: float | None = None
    step: float | None = None
    examples_per_second: float | None = None
    ratio: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Comparison:
    """All ways to train an experiment, and where the time goes in its own mode.

    Args:
        experiment: Its name.
        device: What computes.
        batch_size: Rows per step.
        steps: Of the epochs that were timed.
        rows: Of the table.
        mode: How the experiment is trained.
        why: Why in that mode.
        shares: Where the time goes there; None if that mode did not run.
    """

    experiment: str
    device: str
    batch_size: int
    steps: int
    rows: tuple[Row, ...]
    mode: str
    why: str
    shares: Shares | None

    @property
    def advice(self) -> str:
        """What may make the training faster; empty if nothing is known."""
        seconds = {row.name: row.step for row in self.rows if row.name in MODES and row.step}
        best = min(seconds, key=lambda name: seconds[name], default="")
        own = seconds.get(self.mode)
        if own is not None and seconds[best] < WORTH * own:
            return f"execution.mode={best} takes {seconds[best] / own:.2g} of the time"
        return self.shares.advice if self.shares else ""

    def to_json(self) -> dict[str, Any]:
        """Return everything as the one JSON object of `--json`."""
        return {
            **vars(self),
            "rows": [vars(row) for row in self.rows],
            "shares": self.shares.seconds() if self.shares else None,
            "bottleneck": self.shares.bottleneck if self.shares else None,
            "advice": self.advice,
        }
