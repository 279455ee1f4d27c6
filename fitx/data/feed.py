"""Endless batches for `fit`, gathered by row number from arrays that stay where they are."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.data.order import permutation
from fitx.data.prepare import ALIGNMENT, Data
from fitx.data.splits import Split

ENDLESS = 2**62
"""Epochs that a stream of batches has."""

_AHEAD = 4
"""Batches made ready while a step runs."""


def training_batches(data: Data, *, first_epoch: int = 0, first_step: int = 0) -> tf.data.Dataset:
    """Return the batches of train, epoch after epoch without end.

    Epoch e has the order `permutation(data.seed, e, rows)`, or the dataset's own if `data.shuffle`
    is off, so that any position can be started from at once.

    Args:
        first_epoch: Epoch to start in, counted from 0.
        first_step: Batches of that epoch to leave out.

    Batches:
        x, (x, y) or (x, y, sample_weight), whatever the split has. The last batch of an epoch may
        be short; with `data.drop_remainder` it is left out and the batch size is static. Of fewer
        rows than `data.batch_size` all are one batch, of full size.
    """
    split = data.splits["train"]
    rows = len(split)
    size = min(data.batch_size, rows)

    def epoch_batches(order: tf.Tensor) -> tf.data.Dataset:
        return _row_batches(order, rows, size, data.drop_remainder)

    orders = tf.data.Dataset.range(first_epoch, ENDLESS).map(order_of(data, rows))
    # Prefetched, so that an epoch's first batch need not wait for its order to be sorted.
    batches = orders.prefetch(1).flat_map(epoch_batches).skip(first_step)
    return ready_ahead(batches.map(_gather(split)))


def evaluation_batches(split: Split, batch_size: int, steps: int | None = None) -> tf.data.Dataset:
    """Return the batches of a split in the dataset's own order, over and over.

    Args:
        split: What to measure on.
        batch_size: Rows per batch; the last batch of a pass may be short.
        steps: Batches in one pass; None takes the whole split.
    """
    rows = len(split) if steps is None else min(len(split), steps * batch_size)
    batches = _row_batches(tf.range(rows, dtype=tf.int64), rows, batch_size, False)
    return ready_ahead(batches.repeat().map(_gather(split)))


def ready_ahead(batches: tf.data.Dataset, count: int = _AHEAD) -> tf.data.Dataset:
    """Make batches ready while a step runs."""
    options = tf.data.Options()
    # There is nothing to tune, and the end of an iterator waits for its tuner: up to a minute
    # where that misses its wake-up (seen with TensorFlow 2.21, in its OptimizeLoop).
    options.autotune.enabled = False
    # Rewriting the graph would copy every array into it: the data would be in memory twice.
    options.experimental_optimization.apply_default_optimizations = False
    return batches.prefetch(count).with_options(options)


def order_of(data: Data, rows: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function from an epoch to the order of its rows."""

    def natural(epoch: tf.Tensor) -> tf.Tensor:
        return tf.range(rows, dtype=tf.int64)

    def shuffled(epoch: tf.Tensor) -> tf.Tensor:
        def of_epoch(number: np.ndarray) -> np.ndarray:
            return permutation(data.seed, int(number), rows)

        order = tf.numpy_function(of_epoch, [epoch], tf.int64, stateful=False)
        return tf.ensure_shape(order, [rows])

    return shuffled if data.shuffle else natural


def _row_batches(order: tf.Tensor, rows: int, size: int, drop_remainder: bool) -> tf.data.Dataset:
    # Slices of a matrix of row numbers cost a small part of what batching single numbers does.
    full = rows // size * size
    batches = tf.data.Dataset.from_tensor_slices(tf.reshape(order[:full], (-1, size)))
    if drop_remainder or full == rows:
        return batches
    return batches.concatenate(tf.data.Dataset.from_tensors(order[full:]))


def _gather(split: Split) -> Callable[[tf.Tensor], Any]:
    columns = columns_of(split)

    def gather(rows: tf.Tensor) -> Any:
        batch = tuple(tf.gather(column, rows) for column in columns)
        return batch if len(batch) > 1 else batch[0]

    return gather


def columns_of(split: Split) -> tuple[tf.Tensor, ...]:
    """Return the arrays of a split as tensors on the host, shared with numpy where possible."""
    return tuple(_tensor(array) for array in split.arrays().values())


def _tensor(array: np.ndarray) -> tf.Tensor:
    """Return a tensor on the host that shares the array's memory wherever TensorFlow can."""
    flags = array.flags
    shareable = flags.c_contiguous and flags.writeable and array.dtype.kind in "iuf"
    # Reading an array that is not aligned makes TensorFlow abort the process.
    if shareable and array.ctypes.data % ALIGNMENT == 0:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    with tf.device("CPU:0"):
        return tf.convert_to_tensor(array)
