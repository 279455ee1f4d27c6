"""The networks and the optimizers of a step, by the names that checkpoints and messages use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import keras

Optimizer: TypeAlias = keras.optimizers.Optimizer


@dataclass
class StepContents:
    """Networks and optimizers of one step.

    Attributes:
        networks: The networks by name.
        optimizers: The optimizers by name, which is that of the network for a `Step`.
        optimized: The variables that each optimizer trains, by the name of the optimizer.
    """

    networks: dict[str, keras.Model] = field(default_factory=dict)
    optimizers: dict[str, Optimizer] = field(default_factory=dict)
    optimized: dict[str, list[Any]] = field(default_factory=dict)
