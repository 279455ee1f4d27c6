"""Keras' losses and means in replicas that share a batch, as means over each replica's rows.

Keras divides a replica's loss by the number of replicas, for gradients that it sums afterwards, and
multiplies again what it logs. fitx averages gradients, so here a loss is the mean over the rows of
the replica, as one that the step computes itself is; where Keras' reduction is a sum, or a mean by
weights, the mean over the replicas comes out as the whole batch's loss. One number a batch, which
Keras' means would count once a replica, counts once.
Four functions of two private modules are replaced while a step is traced. Noticed by
tests/compat/test_replica_losses.py: test_keras_still_scales_losses_by_scale_loss_for_distribution,
test_keras_still_logs_losses_by_unscale_loss_for_distribution,
test_keras_still_reduces_losses_by_reduce_values and
test_keras_still_weighs_means_by_reduce_to_samplewise_values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras.src.losses import loss as keras_loss
from keras.src.metrics import reduction_metrics as keras_means

from fitx.compat.presence import demand
from fitx.compat.replacement import replaced

demand(keras_loss, "reduce_values", "scale_loss_for_distribution", "unscale_loss_for_distribution")
demand(keras_means, "reduce_to_samplewise_values")


@contextmanager
def means_of_replicas(sharers: Callable[[], int]) -> Iterator[None]:
    """Trace losses as means over a replica's rows.

    Args:
        sharers: Returns by how many replicas the batch being traced is shared.
    """
    reduce, to_samplewise = keras_loss.reduce_values, keras_means.reduce_to_samplewise_values

    def reduce_values(
        values: Any, sample_weight: Any = None, reduction: Any = "sum_over_batch_size"
    ) -> Any:
        loss = reduce(values, sample_weight, reduction)
        count = sharers()
        if count == 1 or not tuple(values.shape):
            return loss
        if reduction == "sum":
            return loss * count
        if reduction == "mean_with_sample_weight" and sample_weight is not None:
            return _mean_by_weight(loss, sample_weight)
        return loss

    def samplewise(values: Any, sample_weight: Any, reduce_fn: Any, dtype: Any) -> Any:
        if sample_weight is None and sharers() > 1 and not tf.convert_to_tensor(values).shape.rank:
            sample_weight = 1 / sharers()
        return to_samplewise(values, sample_weight, reduce_fn, dtype)

    with (
        replaced(keras_loss, "scale_loss_for_distribution", lambda value: value),
        replaced(keras_loss, "unscale_loss_for_distribution", lambda value: value),
        replaced(keras_loss, "reduce_values", reduce_values),
        replaced(keras_means, "reduce_to_samplewise_values", samplewise),
    ):
        yield


def _mean_by_weight(loss: Any, sample_weight: Any) -> Any:
    """Return a replica's loss such that the mean over replicas counts each by its weights."""
    weight = keras.ops.cast(keras.ops.sum(sample_weight), loss.dtype)
    context = tf.distribute.get_replica_context()
    mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, weight)
    return keras.ops.divide_no_nan(loss * weight, mean)
