"""Gives Keras names that the guide of 2020 uses, and that Keras 3 has elsewhere or not at all.

`from tensorflow import keras` is a copy of Keras 3 that lacks some of its functions, such as
`keras.losses.mean_squared_error`; and `reset_states` of metrics became `reset_state`.
Tests that fail when Keras changes: tests/compat/test_legacy_names.py:
test_tensorflow_still_gives_a_copy_of_keras_that_lacks_functions and
test_keras_still_resets_metrics_by_reset_state.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from fitx.compat.required_names import demand

demand(keras.metrics.Metric, "reset_state")

_MODULES = ("losses", "metrics")


def provide() -> None:
    """Add the missing names; those that are there stay."""
    for module in _MODULES:
        copy, original = getattr(tf.keras, module), getattr(keras, module)
        for name, value in vars(original).items():
            if not name.startswith("_") and not hasattr(copy, name):
                setattr(copy, name, value)
    if not hasattr(keras.metrics.Metric, "reset_states"):
        keras.metrics.Metric.reset_states = _reset_states


def _reset_states(self: keras.metrics.Metric) -> None:
    self.reset_state()
