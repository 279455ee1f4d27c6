"""Reads the loss and the metrics that a model was compiled with, which Keras keeps in private.

`compiled_loss` and `compiled_metrics` of tf.keras 2 compute the loss without those of layers, track
it, and update the compiled metrics alone. Keras 3 keeps both names only to warn about them: its
`compiled_loss` adds the losses of layers a second time, and tracks nothing. If Keras renamed what
is read here, models with the guide's text of 2020 would train by another loss.
Tests that fail when Keras changes: tests/compat/test_compile_arguments.py:
test_keras_still_keeps_the_compiled_loss_and_the_compiled_metrics.
"""

from __future__ import annotations

from typing import Any

import keras

from fitx.compat.required_names import demand


def compiled_loss(model: keras.Model) -> Any:
    """Return the function (y, y_pred, sample_weight) of a model's loss; None without a loss."""
    demand(model, "_compile_loss")
    return model._compile_loss


def compiled_metrics(model: keras.Model) -> keras.metrics.Metric | None:
    """Return the metric that holds all compiled metrics; None without metrics."""
    demand(model, "_compile_metrics")
    return model._compile_metrics
