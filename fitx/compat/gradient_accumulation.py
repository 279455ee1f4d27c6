"""Counts the gradients that an optimizer has accumulated but not yet applied.

Keras' `iterations` counts updates of the weights. The number of gradients, of which
`gradient_accumulation_steps` together make one update, is kept in a private variable.
Test that fails when Keras changes: tests/compat/test_gradient_accumulation.py:
test_keras_still_counts_gradients_that_are_not_applied_yet.
"""

from __future__ import annotations

import keras

from fitx.compat.required_names import demand


def unapplied(optimizer: keras.optimizers.Optimizer) -> int:
    """Return how many gradients were accumulated since the last update; 0 without accumulation."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    size: int | None = inner.gradient_accumulation_steps
    demand(inner, "_iterations")
    return int(inner._iterations) % size if size else 0
