"""Keras' optimizer for float16, with a loss scale that stays finite.

Keras doubles the scale after every 2,000 steps with finite gradients, without an upper bound. When
the loss no longer changes, the gradients are 0 and stay finite, so the scale would grow to
infinity, and then every gradient would be NaN. The only method that doubles the scale is private.
Test that fails when Keras changes: tests/compat/test_loss_scale.py:
test_keras_still_doubles_the_scale_by_stateful_handle_finite_grads.
"""

from __future__ import annotations

from typing import Any

import keras

from fitx.compat.required_names import demand

demand(keras.optimizers.LossScaleOptimizer, "_stateful_handle_finite_grads")

LARGEST_SCALE = 2.0**100
"""Far above any scale that gradients of float16 need, and far below the infinity of float32."""


class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """A `keras.optimizers.LossScaleOptimizer` whose scale has an upper bound."""

    def _stateful_handle_finite_grads(self, grads: Any, trainable_variables: Any) -> None:
        # Called in the context that may assign the scale, on several devices too.
        super()._stateful_handle_finite_grads(grads, trainable_variables)
        self.dynamic_scale.assign(keras.ops.minimum(self.dynamic_scale, LARGEST_SCALE))


def scaled(optimizer: keras.optimizers.Optimizer, step: keras.Model) -> keras.optimizers.Optimizer:
    """Return the optimizer, under float16 one that scales the loss against underflow."""
    return LossScaleOptimizer(optimizer) if step.dtype_policy.name == "mixed_float16" else optimizer
