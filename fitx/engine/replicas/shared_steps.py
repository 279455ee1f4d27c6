"""Shares the rows and the random numbers of a step among its replicas.

A strategy of `tf.distribute` runs a step once on each of several devices. Each gets its equal
share of a batch's rows, and the gradients are averaged before an optimizer sees them, so that
a step computes the same as on one device. A batch that cannot be shared equally is computed whole
by every replica, and counted once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import tensorflow as tf

from fitx.compat.replica_means import means_of_replicas
from fitx.compat.replica_random import numbers_of_replicas

_shared = [False]
"""True while a batch that replicas share is traced.

TensorFlow traces each replica in a thread of its own, which cannot see context variables of the
caller, so the whole process shares this value. Only `replicas_traced` sets it.
"""

_draws_for_all = ContextVar("_draws_for_all", default=False)
"""True while the traced replica draws random numbers for the rows of the whole batch."""


def strategy_in_scope() -> tf.distribute.Strategy | None:
    """Return the current strategy; None for one device."""
    return tf.distribute.get_strategy() if tf.distribute.has_strategy() else None


def sharing_replicas() -> int:
    """Return the number of replicas that share the batch being traced; 1 where none do."""
    context = tf.distribute.get_replica_context()
    return int(context.num_replicas_in_sync) if _shared[0] and context is not None else 1


def is_redundant() -> bool:
    """Return whether the replica being traced repeats what the first one computes and counts."""
    return not _shared[0] and _index() > 0


def call_once(action: Callable[[], None]) -> None:
    """Call a function once for all replicas, each of which asks for it while it is traced."""
    context = tf.distribute.get_replica_context()
    if context is None or not tf.distribute.has_strategy():
        action()
    else:
        context.merge_call(lambda strategy: action())


def own_rows(values: tf.Tensor) -> tf.Tensor:
    """Return this replica's rows of a tensor with the rows of the whole batch."""
    count = sharing_replicas()
    if count == 1:
        return values
    rows = (values.shape[0] or tf.shape(values)[0]) // count
    return values[_index() * rows : (_index() + 1) * rows]


def all_rows(values: tf.Tensor) -> tf.Tensor:
    """Return the rows of all replicas that share the batch, in the order of the batch.

    A loss that compares the examples of a batch with each other is, computed from these rows, the
    same on any number of replicas. Gradients flow through them.
    """
    if sharing_replicas() == 1:
        return values
    rows = tf.distribute.get_replica_context().all_gather(values, axis=0)
    # Gathering loses the sizes of the other axes.
    return tf.ensure_shape(rows, (None, *values.shape[1:]))


def mean_of_replicas(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Return the means of tensors over the replicas that share the batch."""
    if sharing_replicas() == 1:
        return values
    context = tf.distribute.get_replica_context()
    means: list[tf.Tensor] = context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
    return means


def drawn_for_rows(rows: Any, draw: Callable[[Any], tf.Tensor]) -> tf.Tensor:
    """Draw random numbers for the rows of the whole batch; return this replica's share.

    Args:
        rows: The number of rows of this replica.
        draw: Takes a number of rows and returns a tensor with as many.
    """
    if sharing_replicas() == 1:
        return draw(rows)
    token = _draws_for_all.set(True)
    try:
        return own_rows(draw(rows * sharing_replicas()))
    finally:
        _draws_for_all.reset(token)


@contextmanager
def replicas_traced(is_shared: bool) -> Iterator[None]:
    """Trace a batch that is shared by the replicas, or one that each computes whole."""
    before, _shared[0] = _shared[0], is_shared
    try:
        with (
            means_of_replicas(sharing_replicas),
            numbers_of_replicas(sharing_replicas, _own_stream, drawn_for_rows),
        ):
            yield
    finally:
        _shared[0] = before


def _index() -> int:
    context = tf.distribute.get_replica_context()
    return int(tf.get_static_value(context.replica_id_in_sync_group)) if context is not None else 0


def _own_stream() -> int:
    """Return the number of the stream that this replica draws from; 0 is that of one device."""
    return 0 if sharing_replicas() == 1 or _draws_for_all.get() else _index()
