"""What replicas of a step agree on: who computes which rows, with which random numbers.

A strategy of `tf.distribute` runs a step once on each of several devices. Each gets its equal
share of a batch's rows, and the gradients are averaged before an optimizer sees them, so that
a step computes what it would on one device. A batch that cannot be shared equally is computed
whole by every replica, and counted once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import random as keras_random
from keras.src.losses import loss as keras_loss
from keras.src.metrics import reduction_metrics as keras_means

_SEED_STRIDE = 0x3C6EF372
"""Between the seeds of two replicas' random numbers; any large number would do."""

_tracing = threading.local()
"""What the graph being traced is for: whether replicas share a batch, and draw for all of it."""

_shared = [False]
"""Whether replicas share the batch being traced; replicas are traced by threads of their own."""


def strategy_in_scope() -> tf.distribute.Strategy | None:
    """Return the strategy under whose scope the caller is, None for one device."""
    return tf.distribute.get_strategy() if tf.distribute.has_strategy() else None


def sharers() -> int:
    """Return by how many replicas the rows of the batch being traced are shared."""
    context = tf.distribute.get_replica_context()
    return int(context.num_replicas_in_sync) if _shared[0] and context is not None else 1


def repeats() -> bool:
    """Whether the replica being traced computes what another computes too, and counts."""
    return not _shared[0] and _index() > 0


def together(action: Callable[[], None]) -> None:
    """Do something once, where every replica that is being traced asks for it."""
    context = tf.distribute.get_replica_context()
    if context is None or not tf.distribute.has_strategy():
        action()
    else:
        context.merge_call(lambda strategy: action())


def own_rows(values: tf.Tensor) -> tf.Tensor:
    """Return this replica's share of what there is for each row of the whole batch."""
    count = sharers()
    if count == 1:
        return values
    rows = (values.shape[0] or tf.shape(values)[0]) // count
    return values[_index() * rows : (_index() + 1) * rows]


def drawn_for_rows(rows: Any, draw: Callable[[Any], tf.Tensor]) -> tf.Tensor:
    """Draw random numbers for the rows of the whole batch; return this replica's share.

    Args:
        rows: How many rows this replica has.
        draw: Takes a number of rows and returns a tensor with as many.
    """
    if sharers() == 1:
        return draw(rows)
    _tracing.draws_for_all = True
    try:
        return own_rows(draw(rows * sharers()))
    finally:
        _tracing.draws_for_all = False


def average_gradients(optimizer: keras.optimizers.Optimizer) -> None:
    """Let an optimizer average the replicas' gradients first, before it looks at or clips them.

    Keras sums them last. Every way to apply gradients goes through the `apply` replaced here.
    """
    apply = optimizer.apply

    def apply_averaged(grads: Sequence[Any], trainable_variables: Any = None) -> None:
        apply(_averaged(list(grads)), trainable_variables)

    optimizer.apply = apply_averaged
    innermost = getattr(optimizer, "inner_optimizer", optimizer)
    innermost._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars


def average_statistics(network: keras.Model) -> None:
    """Let what a network gathers besides its weights, as batch normalization does, be averaged.

    Keras leaves each replica with its own, and saves those of the first.
    """
    for variable in network.non_trainable_variables:
        if keras.backend.is_float_dtype(variable.dtype):
            variable.value._aggregation = tf.VariableAggregation.MEAN


@contextmanager
def shared(is_shared: bool) -> Iterator[None]:
    """Trace a batch that is shared by the replicas, or one that each computes whole.

    Meanwhile Keras' losses are means over a replica's rows, as the step's own are: Keras would
    divide them by the number of replicas for gradients that are summed.
    """
    before, _shared[0] = _shared[0], is_shared
    kept = [(module, name, getattr(module, name)) for module, name, _ in _REPLACED]
    for module, name, function in _REPLACED:
        setattr(module, name, function)
    try:
        yield
    finally:
        _shared[0] = before
        for module, name, function in kept:
            setattr(module, name, function)


_reduce_values = keras_loss.reduce_values
_plain_samplewise = keras_means.reduce_to_samplewise_values
_plain_draw_seed = keras_random.draw_seed
_plain_dropout = keras_random.dropout


def _index() -> int:
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group)) if context is not None else 0


def _averaged(grads: list[Any]) -> list[Any]:
    context = tf.distribute.get_replica_context()
    there = [grad for grad in grads if grad is not None]
    means = iter(context.all_reduce(tf.distribute.ReduceOp.MEAN, there) if there else ())
    return [None if grad is None else next(means) for grad in grads]


def _reduced(values: Any, sample_weight: Any = None, reduction: Any = "sum_over_batch_size") -> Any:
    """Reduce a loss's values so that the mean over replicas is the whole batch's loss."""
    loss = _reduce_values(values, sample_weight, reduction)
    count = sharers()
    if count == 1 or not tuple(values.shape):
        return loss
    if reduction == "sum":
        return loss * count
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        weight = keras.ops.cast(keras.ops.sum(sample_weight), loss.dtype)
        context = tf.distribute.get_replica_context()
        whole = context.all_reduce(tf.distribute.ReduceOp.MEAN, weight)
        return keras.ops.divide_no_nan(loss * weight, whole)
    return loss


def _samplewise(values: Any, sample_weight: Any, reduce_fn: Any, dtype: Any) -> Any:
    """Count one number a batch, such as its loss, once and not once for each replica."""
    if sample_weight is None and sharers() > 1 and not tf.convert_to_tensor(values).shape.rank:
        sample_weight = 1 / sharers()
    return _plain_samplewise(values, sample_weight, reduce_fn, dtype)


def _draw_seed(seed: Any) -> Any:
    """Give each replica random numbers of its own, unless they are drawn for the whole batch."""
    drawn = _plain_draw_seed(seed)
    if sharers() == 1 or getattr(_tracing, "draws_for_all", False):
        return drawn
    return drawn + tf.constant([_index() * _SEED_STRIDE, 0], drawn.dtype)


def _dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """Drop what one device would have dropped of these rows, where a row has its own mask."""
    inputs = tf.convert_to_tensor(inputs)
    rows = inputs.shape[0] if inputs.shape.rank else None
    per_row = noise_shape is None or noise_shape[0] == rows
    if sharers() == 1 or rows is None or not per_row or rate in (0.0, 1.0):
        return _plain_dropout(inputs, rate, noise_shape, seed)

    def kept(all_rows: int) -> Any:
        tail = inputs.shape[1:] if noise_shape is None else noise_shape[1:]
        return _plain_dropout(tf.ones((all_rows, *tail), inputs.dtype), rate, None, seed)

    return inputs * drawn_for_rows(rows, kept)


_REPLACED: tuple[tuple[Any, str, Any], ...] = (
    (keras_loss, "scale_loss_for_distribution", lambda value: value),
    (keras_loss, "unscale_loss_for_distribution", lambda value: value),
    (keras_loss, "reduce_values", _reduced),
    (keras_means, "reduce_to_samplewise_values", _samplewise),
    (keras_random, "draw_seed", _draw_seed),
    (keras_random, "dropout", _dropout),
)
"""What Keras does otherwise while replicas are traced: (module, name, what takes its place)."""
