"""Averages gradients, batch statistics and losses over the replicas that share a batch.

Keras' optimizers sum the replicas' gradients, after they have clipped each replica's own; and the
statistics of batch normalization differ between replicas, and only the first replica's are saved.
Here gradients are averaged before the optimizer clips them, and not summed again; and the
statistics of a network are averaged when they are assigned. Without this, gradients would be too
large by a factor of the number of replicas.
Keras divides a replica's loss by the number of replicas, because it sums gradients afterwards, and
multiplies it again for the logs. Here a loss is the mean over the rows of the replica, as is a loss
that the step computes itself; where Keras' reduction is a sum or a weighted mean, the mean over the
replicas equals the loss of the whole batch. A scalar of the whole batch, which Keras' means would
count once for each replica, counts once.
Two methods of an optimizer and a private attribute of TensorFlow's variables are set, and four
functions of two private modules of Keras are replaced while a step is traced.
Tests that fail when Keras or TensorFlow changes: tests/compat/test_replica_means.py:
test_keras_still_applies_all_gradients_by_apply,
test_keras_still_sums_gradients_of_replicas_by_all_reduce_sum_gradients,
test_tensorflow_still_aggregates_a_variable_as_its_aggregation_says,
test_keras_still_scales_losses_by_scale_loss_for_distribution,
test_keras_still_logs_losses_by_unscale_loss_for_distribution,
test_keras_still_reduces_losses_by_reduce_values and
test_keras_still_weighs_means_by_reduce_to_samplewise_values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras.src.losses import loss as keras_loss
from keras.src.metrics import reduction_metrics as keras_means

from fitx.compat.replacement import replaced
from fitx.compat.required_names import demand

demand(keras_loss, "reduce_values", "scale_loss_for_distribution", "unscale_loss_for_distribution")
demand(keras_means, "reduce_to_samplewise_values")


def average_gradients(optimizer: keras.optimizers.Optimizer) -> None:
    """Let an optimizer average the replicas' gradients first, before it looks at or clips them."""
    innermost = getattr(optimizer, "inner_optimizer", optimizer)
    demand(innermost, "_all_reduce_sum_gradients")
    apply = optimizer.apply

    def apply_averaged(grads: Sequence[Any], trainable_variables: Any = None) -> None:
        apply(_averaged(list(grads)), trainable_variables)

    optimizer.apply = apply_averaged
    innermost._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars


def average_statistics(network: keras.Model) -> None:
    """Let the statistics that a network gathers, as batch normalization does, be averaged."""
    for variable in network.non_trainable_variables:
        if keras.backend.is_float_dtype(variable.dtype):
            demand(variable.value, "_aggregation")
            variable.value._aggregation = tf.VariableAggregation.MEAN


def _averaged(grads: list[Any]) -> list[Any]:
    context = tf.distribute.get_replica_context()
    present = [grad for grad in grads if grad is not None]
    means = iter(context.all_reduce(tf.distribute.ReduceOp.MEAN, present) if present else ())
    return [None if grad is None else next(means) for grad in grads]


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
