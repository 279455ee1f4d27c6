"""Records what a step uses of the experiment's loss, metrics and optimizers while it is traced."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import keras

from fitx.errors import FitxError


class MissingLoss(FitxError):
    """A step computes the experiment's loss, and the experiment has none."""

    def __init__(self) -> None:
        super().__init__("there is no loss to compute")


@dataclass
class Usage:
    """What the traced steps have used so far.

    Attributes:
        loss: Whether they computed, or looked at, the experiment's loss.
        metrics: Whether they fed the experiment's metrics.
        applied: Networks whose optimizers applied gradients.
        scaled: Networks whose optimizers scaled a loss.
    """

    loss: bool = False
    metrics: bool = False
    applied: set[str] = field(default_factory=set)
    scaled: set[str] = field(default_factory=set)

    def observe(self, network: str, optimizer: keras.optimizers.Optimizer) -> None:
        """Record when an optimizer scales a loss and applies gradients, from now on."""
        scale_loss, apply = optimizer.scale_loss, optimizer.apply

        @wraps(scale_loss)
        def recorded_scale_loss(*args: Any, **keywords: Any) -> Any:
            self.scaled.add(network)
            return scale_loss(*args, **keywords)

        @wraps(apply)
        def recorded_apply(*args: Any, **keywords: Any) -> Any:
            self.applied.add(network)
            return apply(*args, **keywords)

        optimizer.scale_loss, optimizer.apply = recorded_scale_loss, recorded_apply
