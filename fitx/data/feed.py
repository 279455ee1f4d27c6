"""Endless batches for `fit`, gathered by row number without copying the arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.data.batch_layout import BatchLayout, evaluation_layout, training_layout
from fitx.data.order import endless_rows, permutation
from fitx.data.prepare import ALIGNMENT, Data

ENDLESS = 2**62
"""The number of epochs in a stream of batches."""

_AHEAD = 4
"""The number of batches prefetched while a step runs."""


def training_batches(data: Data, *, first_epoch: int = 0, first_step: int = 0) -> tf.data.Dataset:
    """Return the batches of train, epoch after epoch without end.

    Epoch e has the order `permutation(data.seed, e, rows)`, or the dataset's own if `data.shuffle`
    is off, so that any position can be started from at once.

    Args:
        first_epoch: Epoch to start in, counted from 0.
        first_step: Batches of that epoch to leave out.

    Batches:
        As `Split.batch`, such as x or (x, y); of several streams, a dictionary of such batches.
        The last batch of an epoch may be short; with `data.drop_remainder` it is left out and the
        batch size is static. Of fewer rows than `data.batch_size` all are one batch, of full size.
    """
    layout = training_layout(data)

    def epoch_batches(order: tf.Tensor) -> tf.data.Dataset:
        return _row_batches(order, layout)

    epochs = tf.data.Dataset.range(first_epoch, ENDLESS)
    orders = epochs.map(order_of(data, layout))
    # Prefetched, so that an epoch's first batch need not wait for its order to be sorted.
    batches = orders.prefetch(1).flat_map(epoch_batches).skip(first_step)
    return ready_ahead(batches.map(_gather(layout)))


def evaluation_batches(data: Data, split: str, steps: int | None = None) -> tf.data.Dataset:
    """Return the batches of a split in the dataset's own order, over and over.

    Args:
        data: The splits.
        split: The name of the split to evaluate on.
        steps: Batches in one pass; None takes the whole split.
    """
    layout = evaluation_layout(data, split, steps)
    batches = _row_batches(natural_order(layout), layout)
    return ready_ahead(batches.repeat().map(_gather(layout)))


def ready_ahead(batches: tf.data.Dataset, count: int = _AHEAD) -> tf.data.Dataset:
    """Prefetch batches while a step runs."""
    options = tf.data.Options()
    # There is nothing to tune, and the end of an iterator waits for its tuner: up to a minute
    # where that misses its wake-up (seen with TensorFlow 2.21, in its OptimizeLoop).
    options.autotune.enabled = False
    # Rewriting the graph would copy every array into it: the data would be in memory twice.
    options.experimental_optimization.apply_default_optimizations = False
    return batches.prefetch(count).with_options(options)


def order_of(data: Data, layout: BatchLayout) -> Callable[[tf.Tensor], Any]:
    """Return the function from an epoch to the order of its rows, of each stream."""
    first = _epoch_order(data, len(layout.split))
    if layout.others is None or data.others is None:
        return first
    others = {name: _order_beside(data.others[name], o) for name, o in layout.others.items()}
    functions = {layout.name: first, **others}
    return lambda epoch: {name: functions[name](epoch) for name in sorted(functions)}


def _epoch_order(data: Data, rows: int) -> Callable[[tf.Tensor], tf.Tensor]:
    def natural(epoch: tf.Tensor) -> tf.Tensor:
        return tf.range(rows, dtype=tf.int64)

    def shuffled(epoch: tf.Tensor) -> tf.Tensor:
        return _computed(lambda number: permutation(data.seed, number, rows), epoch, rows)

    return shuffled if data.shuffle else natural


def _order_beside(data: Data, layout: BatchLayout) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the order of a stream whose passes over its rows do not end with the epochs."""
    seed, rows, count = data.seed if data.shuffle else None, len(layout.split), layout.rows

    def order(epoch: tf.Tensor) -> tf.Tensor:
        return _computed(
            lambda number: endless_rows(seed, rows, number * count, count), epoch, count
        )

    return order


def _computed(function: Callable[[int], np.ndarray], epoch: tf.Tensor, rows: int) -> tf.Tensor:
    def of_epoch(number: np.ndarray) -> np.ndarray:
        return function(int(number))

    order = tf.numpy_function(of_epoch, [epoch], tf.int64, stateful=False)
    return tf.ensure_shape(order, [rows])


def natural_order(layout: BatchLayout) -> Any:
    """Return the row numbers of an evaluation, of each stream."""
    return layout.by_stream(lambda s: tf.range(s.rows, dtype=tf.int64) % len(s.split))


def _row_batches(order: Any, layout: BatchLayout) -> tf.data.Dataset:
    if layout.others is None:
        return _stream_batches(order, layout)
    streams = layout.by_stream(lambda stream: stream)
    return tf.data.Dataset.zip(
        {name: _stream_batches(order[name], streams[name]) for name in order}
    )


def _stream_batches(order: tf.Tensor, layout: BatchLayout) -> tf.data.Dataset:
    # Slices of a matrix of row numbers cost a small part of what batching single numbers does.
    end = layout.full * layout.batch_size
    batches = tf.data.Dataset.from_tensor_slices(tf.reshape(order[:end], (-1, layout.batch_size)))
    if not layout.short:
        return batches
    return batches.concatenate(tf.data.Dataset.from_tensors(order[end : layout.rows]))


def _gather(layout: BatchLayout) -> Callable[[Any], Any]:
    columns = columns_of(layout)
    return lambda rows: gathered(columns, rows)


def gathered(columns: Any, rows: Any) -> Any:
    """Return the rows of columns; in dictionaries, those of each stream."""
    if isinstance(rows, dict):
        return {name: gathered(columns[name], numbers) for name, numbers in rows.items()}
    return tf.nest.map_structure(lambda column: tf.gather(column, rows), columns)


def columns_of(layout: BatchLayout) -> Any:
    """Return the arrays of a layout as tensors on the host, shared with numpy where possible."""
    return layout.by_stream(lambda stream: tf.nest.map_structure(_tensor, stream.split.batch))


def _tensor(array: np.ndarray) -> tf.Tensor:
    """Return a tensor on the host that shares the array's memory wherever TensorFlow can."""
    flags = array.flags
    shareable = flags.c_contiguous and flags.writeable and array.dtype.kind in "iuf"
    # Reading an array that is not aligned makes TensorFlow abort the process.
    if shareable and array.ctypes.data % ALIGNMENT == 0:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    with tf.device("CPU:0"):
        return tf.convert_to_tensor(array)
