"""Converts a variable, which may have a copy on each of several devices, to an array and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.engine.resources import packed
from fitx.engine.resources.tables import Table
from fitx.errors import StorageError


def local_copies(variable: Any) -> tuple[Any, ...]:
    """Return the copies that this process has of a variable of Keras or TensorFlow.

    A lookup table has one copy: its handle.
    """
    if isinstance(variable, Table):
        return (variable.handle,)
    value = getattr(variable, "value", variable)
    # A variable of TensorFlow has a method of this name.
    value = variable if callable(value) else value
    return tuple(value.values) if isinstance(value, tf.distribute.DistributedValues) else (value,)


def copy_ids(variables: Iterable[Any]) -> set[int]:
    """Return the `id`s of the copies that this process has of variables."""
    return {id(copy) for variable in variables for copy in local_copies(variable)}


def local_value(variable: Any) -> Any:
    """Return the value of a variable; for a metric's, the sum of its copies in this process.

    Unlike reading the variable, this does not wait for other processes.
    """
    first, *others = local_copies(variable)
    return tf.add_n([first, *others]) if _is_per_replica(variable) else tf.identity(first)


def values(variables: Iterable[Any], *, everywhere: bool) -> list[Any]:
    """Return `local_value` of variables, or with `everywhere` their sums over all processes."""
    variables = list(variables)
    local_values = [local_value(variable) for variable in variables]
    if not everywhere:
        return local_values
    return list(map(_over_processes, variables, local_values))


def array_spec(variable: Any) -> tf.TensorSpec:
    """Return dtype and shape of the result of `to_array`; sizes that may change are None."""
    if _is_packed(variable):
        return tf.TensorSpec([None], tf.uint8)
    shape = tf.TensorShape(variable.shape)
    if _is_per_replica(variable):
        shape = tf.TensorShape([len(local_copies(variable))]).concatenate(shape)
    return tf.TensorSpec(shape, variable.dtype)


def to_array(variable: Any) -> np.ndarray:
    """Return the content of a variable or a lookup table.

    For a metric's variable it is the list of its copies in this process; tables, and variables of
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
    """Set a variable or a lookup table to the content that `to_array` returned.

    A value that is summed over processes is given to the first process; the others get zeros.

    Raises:
        StorageError: The packed content does not fit the table, or the variable of strings.
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
    """Raise StorageError if `assign_array` would refuse packed content."""
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
    if not _is_per_replica(variable):
        return value
    distributed = getattr(variable, "value", variable)
    strategy = distributed.distribute_strategy
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return value
    with strategy.scope():
        return strategy.reduce(tf.distribute.ReduceOp.SUM, distributed, axis=None)


def _is_per_replica(variable: Any) -> bool:
    """Return whether the copies differ until the variable is read, as those of metrics do."""
    value = getattr(variable, "value", variable)
    is_distributed = isinstance(value, tf.distribute.DistributedValues)
    return is_distributed and value.synchronization is tf.VariableSynchronization.ON_READ
