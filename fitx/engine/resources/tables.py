"""Saves and restores the lookup tables that a traced step uses and may change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.engine.resources import packed
from fitx.engine.resources.captured import Resource, captured_resources
from fitx.errors import StorageError

_READING = ("LookupTableFindV2", "LookupTableSizeV2", "LookupTableExportV2")
_CHANGING = ("LookupTableInsertV2", "LookupTableRemoveV2")

_DTYPES = {
    "LookupTableFindV2": ("Tin", "Tout"),
    "LookupTableInsertV2": ("Tin", "Tout"),
    "LookupTableImportV2": ("Tin", "Tout"),
    "LookupTableExportV2": ("Tkeys", "Tvalues"),
}
"""The attributes with the dtypes of a table's keys and values, by type of operation."""


@dataclass(frozen=True)
class Table:
    """A table that can change: a `MutableHashTable` or `DenseHashTable` of TensorFlow.

    Attributes:
        handle: Its handle, which graphs captured.
        key_dtype, value_dtype: The dtypes of its keys and values.
        may_change: Whether the graph that captured it may change it.
        name: The last part of its name in a checkpoint.
    """

    handle: Any
    key_dtype: tf.DType
    value_dtype: tf.DType
    may_change: bool
    name: str = "table"

    @property
    def is_dense(self) -> bool:
        """True if it is a `DenseHashTable`, whose rows have a position that is restored too."""
        return self._export()[0].ndim > 1

    def to_array(self) -> np.ndarray:
        """Return all keys and values as bytes, which do not depend on the order of insertion."""
        keys, values = self._export()
        # A dense table exports its buckets, including empty ones, and can import only those.
        order = np.argsort(keys, kind="stable") if keys.ndim == 1 else slice(None)
        return packed.pack([keys[order], values[order]])

    def assign(self, array: np.ndarray) -> None:
        """Replace all keys and values by those that `to_array` returned.

        Raises:
            StorageError: They do not fit this table.
        """
        keys, values = self.unpacked(array)
        tf.raw_ops.LookupTableImportV2(
            table_handle=self.handle,
            keys=tf.constant(keys, self.key_dtype),
            values=tf.constant(values, self.value_dtype),
        )

    def unpacked(self, array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the keys and values that `to_array` packed. Raises StorageError as `assign`."""
        dtypes = [_numpy_dtype(dtype) for dtype in (self.key_dtype, self.value_dtype)]
        keys, values = packed.unpack(array, dtypes)
        built_keys, built_values = self._export()
        alike = keys.shape[1:], values.shape[1:]
        has_rows = keys.ndim == built_keys.ndim and values.ndim == built_values.ndim
        if not has_rows or alike != (built_keys.shape[1:], built_values.shape[1:]):
            text = f"a table of keys {built_keys.shape} and values {built_values.shape} cannot hold"
            raise StorageError(f"{text} keys {keys.shape} and values {values.shape}")
        if len(keys) != len(values) or (keys.ndim > 1 and not _is_power(len(keys))):
            raise StorageError(f"no table has {len(keys)} keys and {len(values)} values")
        return keys, values

    def _export(self) -> tuple[np.ndarray, np.ndarray]:
        keys, values = tf.raw_ops.LookupTableExportV2(
            table_handle=self.handle, Tkeys=self.key_dtype, Tvalues=self.value_dtype
        )
        return keys.numpy(), values.numpy()


def captured_tables(graphs: Iterable[Any]) -> list[Table]:
    """Return the tables that traced graphs use and that can change, each once.

    Tables of constants, such as vocabularies, are left out.
    """
    tables: dict[int, Table] = {}
    for graph in graphs:
        for table in _tables(graph):
            tables.setdefault(id(table.handle), table)
    return list(tables.values())


def changed_tables(graph: Any) -> list[Table]:
    """Return the tables that a traced graph may change."""
    return [table for table in _tables(graph) if table.may_change]


def table_of(resource: Resource) -> Table | None:
    """Return a captured resource as a table; None if it is not a table that can change."""
    table = _any_table(resource)
    return table if table is not None and _can_change(table, resource) else None


def is_constant(resource: Resource) -> bool:
    """Return whether a captured resource is a table of constants."""
    table = _any_table(resource)
    return table is not None and not _can_change(table, resource)


def changes(use: tf.Operation) -> bool:
    """Return whether an operation that uses a table may change it."""
    return use.type not in _READING


def _any_table(resource: Resource) -> Table | None:
    typed = next((use for use in resource.uses if use.type in _DTYPES), None)
    if typed is None:
        return None
    keys, values = (typed.get_attr(name) for name in _DTYPES[typed.type])
    may_change = any(map(changes, resource.uses))
    return Table(resource.handle, keys, values, may_change)


def _tables(graph: Any) -> Iterator[Table]:
    for resource in captured_resources(graph):
        table = table_of(resource)
        if table is not None:
            yield table


def _can_change(table: Table, resource: Resource) -> bool:
    if any(use.type in _CHANGING for use in resource.uses):
        return True
    # A table of constants refuses an insertion, even of no key.
    keys, values = (tf.zeros([0], dtype) for dtype in (table.key_dtype, table.value_dtype))
    try:
        tf.raw_ops.LookupTableInsertV2(table_handle=table.handle, keys=keys, values=values)
    except tf.errors.UnimplementedError:
        return False
    except tf.errors.InvalidArgumentError:
        # Its keys or values are vectors, which only tables that can change have.
        return True
    return True


def _numpy_dtype(dtype: tf.DType) -> Any:
    return object if dtype == tf.string else dtype.as_numpy_dtype


def _is_power(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
