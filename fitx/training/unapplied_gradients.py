"""Gradients that were gathered at the end of a training and never applied."""

from __future__ import annotations

from collections.abc import Iterator

from fitx.compat.gradient_accumulation import unapplied
from fitx.step import Step


def notes(step: Step) -> Iterator[str]:
    """Say of each optimizer that accumulates gradients which steps at the end had no effect.

    Keras applies them when as many have come together as `gradient_accumulation_steps` says, and
    gathers on from one epoch to the next; at the end of the training some may be left.
    """
    for name, optimizer in step.network_optimizers.items():
        left = unapplied(optimizer)
        if left:
            size = getattr(optimizer, "inner_optimizer", optimizer).gradient_accumulation_steps
            last = "step's" if left == 1 else f"{left} steps'"
            yield (
                f"the last {last} gradients were not applied to '{name}': "
                f"gradient_accumulation_steps is {size}, "
                "and the training ended before so many had come together"
            )
