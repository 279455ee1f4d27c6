"""The copies of a variable, one on each device that computes, and what it holds as an array."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.engine.resources import packed
from fitx.engine.resources.tables import Table
from fitx.errors import StorageError


def local_copies(variable: Any) -> tuple[Any, ...]:
    """Return the copies that this process has of a variable, Keras' or TensorFlow's.

    A lookup table has one: its handle.
    """
    if isinstance(variable, Table):
        return (variable.handle,)
    held = getattr(variable, "value", variable)
    held = variable if callable(held) else held
    return tuple(held.values) if isinstance(held, tf.distribute.DistributedValues) else (held,)


def copy_ids(variables: Iterable[Any]) -> set[int]:
    """Return the `id`s of the copies that this process has of variables."""
    return {id(copy) for variable in variables for copy in local_copies(variable)}


def local_value(variable: Any) -> Any:
    """Return what a variable holds: of a metric's, the sum of its copies in this process.

    Unlike reading the variable, this waits for no other process.
    """
    first, *others = local_copies(variable)
    return tf.add_n([first, *others]) if _is_per_replica(variable) else tf.identity(first)


def values(variables: Iterable[Any], *, everywhere: bool) -> list[Any]:
    """Return `local_value` of variables, or with `everywhere` their sums over all processes."""
    found = [(variable, local_value(variable)) for variable in variables]
    if not everywhere:
        return [value for _, value in found]
    return [_over_processes(variable, value) for variable, value in found]


def array_spec(variable: Any) -> tf.TensorSpec:
    """Return the dtype and shape of what `to_array` returns; sizes that may change are None."""
    if _is_packed(variable):
        return tf.TensorSpec([None], tf.uint8)
    shape = tf.TensorShape(variable.shape)
    if _is_per_replica(variable):
        shape = tf.TensorShape([len(local_copies(variable))]).concatenate(shape)
    return tf.TensorSpec(shape, variable.dtype)


def to_array(variable: Any) -> np.ndarray:
    """Return what a variable or a lookup table holds.

    Of a metric's variable it is each copy of this process in its turn; tables, and variables of
    strings, are packed into bytes.
    """
    if isinstance(variable, Table):
        return variable.to_array()
    if _is_per_replica(variable):
        return np.stack([np.array(copy) for copy in local_copies(variable)])
    value = local_value(variable)
    if value.dtype == tf.string:
        return packed.pack([np.array(value.numpy(), object)])
    return np.array(value)


def assign_array(variable: Any, value: np.ndarray) -> None:
    """Let a variable or a lookup table hold what `to_array` returned.

    What is summed over processes, the first of them holds alone.

    Raises:
        StorageError: What was packed is no table, or no strings, like these.
    """
    if isinstance(variable, Table):
        variable.assign(value)
    elif _is_packed(variable):
        variable.assign(tf.constant(_strings(variable, value), tf.string))
    elif not _is_per_replica(variable):
        variable.assign(value)
    else:
        _assign_each(variable, value)


def check_packed(variable: Any, value: np.ndarray) -> None:
    """Raise StorageError if `assign_array` would refuse bytes that were packed."""
    if isinstance(variable, Table):
        variable.unpacked(value)
    elif _is_packed(variable):
        _strings(variable, value)


def _strings(variable: Any, value: np.ndarray) -> np.ndarray:
    (strings,) = packed.unpack(value, [object])
    if not variable.shape.is_compatible_with(strings.shape):
        raise StorageError(f"strings {strings.shape} do not fit a variable {variable.shape}")
    return strings


def _assign_each(variable: Any, value: Any) -> None:
    strategy = getattr(variable, "value", variable).distribute_strategy
    if not strategy.extended.should_checkpoint:
        value = np.zeros_like(value)
    for copy, part in zip(local_copies(variable), value, strict=True):
        copy.assign(part)


def _is_packed(variable: Any) -> bool:
    return isinstance(variable, Table) or tf.as_dtype(variable.dtype) == tf.string


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
