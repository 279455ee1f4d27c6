"""Finds Keras' own loss tracker among a model's metrics.

Keras adds it to the metrics of every compiled model, and no public name distinguishes it from the
others. A step that computes its loss itself does not update it, and would log 0.0.
Test that fails when Keras changes: tests/compat/test_loss_tracker.py:
test_keras_still_lists_a_loss_tracker_among_the_metrics_of_a_compiled_model.
"""

from __future__ import annotations

import keras

from fitx.compat.required_names import demand


def loss_tracker(model: keras.Model) -> keras.metrics.Metric | None:
    """Return the tracker among a model's metrics; None where there is none, as before `compile`."""
    demand(model, "_loss_tracker")
    tracker = model._loss_tracker
    return tracker if any(metric is tracker for metric in model.metrics) else None
