"""Counts the rows of a batch in the logged losses of a network with several outputs.

Keras logs the loss of each output as a mean over batches, each with its number of rows as the
weight; but where the number is not known while the step is traced, as for batches of any size, a
batch counts once. A mean over full and short batches would be wrong, and differ between modes. The
object that computes compiled losses is private, and keeps its means in a private way: two of its
methods are replaced, and `update_state` of its means.
Test that fails when Keras changes: tests/compat/test_output_losses.py:
test_keras_still_logs_the_loss_of_each_output_by_metrics_of_the_compiled_loss.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import tensorflow as tf

from fitx.compat.required_names import demand


def count_rows(compiled_loss: Any) -> None:
    """Let the means of a compiled loss count rows; to be called before the step is traced.

    Args:
        compiled_loss: The result of `compile_arguments.compiled_loss`; nothing is done for None.
    """
    if compiled_loss is None or "call" in vars(compiled_loss):
        return
    demand(compiled_loss, "metrics", "build", "call")
    build, call = compiled_loss.build, compiled_loss.call
    rows: list[Any] = []

    def build_with_means(y_true: Any, y_pred: Any) -> None:
        build(y_true, y_pred)
        for mean in compiled_loss.metrics:
            mean.update_state = partial(update, mean.update_state)

    def update(update_state: Any, value: Any, sample_weight: Any = None) -> Any:
        return update_state(value, sample_weight=rows[-1])

    def call_with_rows(y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        rows.append(tf.shape(keras.tree.flatten(y_pred)[0])[0])
        try:
            return call(y_true, y_pred, sample_weight)
        finally:
            rows.pop()

    compiled_loss.build, compiled_loss.call = build_with_means, call_with_rows
