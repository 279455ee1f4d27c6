"""Gradients and batch statistics that are averaged over the replicas that share a batch.

Keras' optimizers sum the replicas' gradients, after they have clipped each replica's own; and the
statistics of batch normalization stay each replica's own, of which the first's are saved. Here
gradients are averaged before an optimizer looks at them, and not summed again; and what a network
gathers besides its weights is averaged where it is assigned.
Two methods of an optimizer and a private attribute of TensorFlow's variables are set. Without them
gradients would be as many times too large as there are replicas. Noticed by
tests/compat/test_replica_averages.py: test_keras_still_applies_all_gradients_by_apply,
test_keras_still_sums_gradients_of_replicas_by_all_reduce_sum_gradients and
test_tensorflow_still_aggregates_a_variable_as_its_aggregation_says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from fitx.compat.presence import demand


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
