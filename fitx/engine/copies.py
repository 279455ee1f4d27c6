"""The copies of a variable: one on each device that computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf


def of(variable: Any) -> tuple[tf.Variable, ...]:
    """Return the copies that this process has of a variable, Keras' or TensorFlow's."""
    held = getattr(variable, "value", variable)
    held = variable if callable(held) else held
    return tuple(held.values) if isinstance(held, tf.distribute.DistributedValues) else (held,)


def total(variable: Any) -> Any:
    """Return what a variable holds: of a metric's, the sum of its copies in this process.

    Unlike reading the variable, this waits for no other process.
    """
    first, *others = of(variable)
    return tf.add_n([first, *others]) if _is_per_replica(variable) else tf.identity(first)


def totals(variables: Iterable[Any], *, everywhere: bool) -> list[Any]:
    """Return `total` of variables, or with `everywhere` their sums over all processes."""
    found = [(variable, total(variable)) for variable in variables]
    if not everywhere:
        return [value for _, value in found]
    return [_over_processes(variable, value) for variable, value in found]


def shape(variable: Any) -> tuple[int, ...]:
    """Return the shape of what `to_array` returns."""
    own = tuple(variable.shape)
    return (len(of(variable)), *own) if _is_per_replica(variable) else own


def to_array(variable: Any) -> np.ndarray:
    """Return what a variable holds; of a metric's, each copy of this process in its turn."""
    if _is_per_replica(variable):
        return np.stack([np.array(copy) for copy in of(variable)])
    return np.array(total(variable))


def assign(variable: Any, value: Any) -> None:
    """Let a variable hold what `to_array` returned.

    What is summed over processes, the first of them holds alone.
    """
    if not _is_per_replica(variable):
        variable.assign(value)
        return
    extended = getattr(variable, "value", variable).distribute_strategy.extended
    if extended._in_multi_worker_mode() and not extended.should_checkpoint:
        value = np.zeros_like(value)
    for copy, part in zip(of(variable), value, strict=True):
        copy.assign(part)


def _over_processes(variable: Any, value: Any) -> Any:
    held = getattr(variable, "value", variable)
    if not _is_per_replica(variable):
        return value
    strategy = held.distribute_strategy
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return value
    with strategy.scope():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, held, axis=None)


def _is_per_replica(variable: Any) -> bool:
    """Whether each copy goes its own way until the variable is read, as those of metrics do."""
    held = getattr(variable, "value", variable)
    is_distributed = isinstance(held, tf.distribute.DistributedValues)
    return is_distributed and held.synchronization is tf.VariableSynchronization.ON_READ
