"""Endless batches for `fit`, gathered by row number without copying the arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.data.order import permutation
from fitx.data.prepare import ALIGNMENT, Data
from fitx.data.splits import Split

ENDLESS = 2**62
"""The number of epochs in a stream of batches."""

_AHEAD = 4
"""The number of batches prefetched while a step runs."""


@dataclass(frozen=True)
class BatchLayout:
    """The batches of one pass over a split: fed one by one, fed in blocks, and traced for.

    Args:
        split: Their rows.
        rows: Rows of one pass.
        batch_size: Rows of a full batch.
    """

    split: Split
    rows: int
    batch_size: int

    @property
    def full(self) -> int:
        """Number of full batches."""
        return self.rows // self.batch_size

    @property
    def short(self) -> int:
        """Rows of the short batch that ends a pass; 0 for none."""
        return self.rows % self.batch_size

    @property
    def largest(self) -> int:
        """Rows of the largest batch."""
        return min(self.rows, self.batch_size)

    @property
    def spec(self) -> Any:
        """The spec of the batches, as the `element_spec` of a dataset."""
        arrays = self.split.arrays().values()
        return batch_spec(
            None if self.short else self.batch_size,
            ((array.shape[1:], tf.as_dtype(array.dtype)) for array in arrays),
        )


def training_layout(data: Data) -> BatchLayout:
    """Return the batches of an epoch; fewer rows than `data.batch_size` are one full batch."""
    split = data.splits["train"]
    rows = min(len(split), data.steps("train") * data.batch_size)
    return BatchLayout(split, rows, min(data.batch_size, rows))


def evaluation_layout(split: Split, batch_size: int, steps: int | None = None) -> BatchLayout:
    """Return the batches of an evaluation; without `steps`, of the whole split."""
    rows = len(split) if steps is None else min(len(split), steps * batch_size)
    return BatchLayout(split, rows, batch_size)


def batch_spec(rows: int | None, row_specs: Iterable[tuple[Any, tf.DType]]) -> Any:
    """Return the spec of a batch.

    Args:
        rows: Rows of the batch; None stands for any number.
        row_specs: Shape and dtype of one row of x, and of y and sample_weight if they are there.
    """
    return as_batch(tuple(tf.TensorSpec((rows, *shape), dtype) for shape, dtype in row_specs))


def as_batch(columns: tuple[Any, ...]) -> Any:
    """Return columns as a step gets them: x alone, or a tuple."""
    return columns if len(columns) > 1 else columns[0]


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
    layout = training_layout(data)

    def epoch_batches(order: tf.Tensor) -> tf.data.Dataset:
        return _row_batches(order, layout)

    epochs = tf.data.Dataset.range(first_epoch, ENDLESS)
    orders = epochs.map(order_of(data, len(layout.split)))
    # Prefetched, so that an epoch's first batch need not wait for its order to be sorted.
    batches = orders.prefetch(1).flat_map(epoch_batches).skip(first_step)
    return ready_ahead(batches.map(_gather(layout.split)))


def evaluation_batches(split: Split, batch_size: int, steps: int | None = None) -> tf.data.Dataset:
    """Return the batches of a split in the dataset's own order, over and over.

    Args:
        split: The rows to evaluate on.
        batch_size: Rows per batch; the last batch of a pass may be short.
        steps: Batches in one pass; None takes the whole split.
    """
    layout = evaluation_layout(split, batch_size, steps)
    batches = _row_batches(tf.range(layout.rows, dtype=tf.int64), layout)
    return ready_ahead(batches.repeat().map(_gather(split)))


def ready_ahead(batches: tf.data.Dataset, count: int = _AHEAD) -> tf.data.Dataset:
    """Prefetch batches while a step runs."""
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


def _row_batches(order: tf.Tensor, layout: BatchLayout) -> tf.data.Dataset:
    # Slices of a matrix of row numbers cost a small part of what batching single numbers does.
    end = layout.full * layout.batch_size
    batches = tf.data.Dataset.from_tensor_slices(tf.reshape(order[:end], (-1, layout.batch_size)))
    if not layout.short:
        return batches
    return batches.concatenate(tf.data.Dataset.from_tensors(order[end : layout.rows]))


def _gather(split: Split) -> Callable[[tf.Tensor], Any]:
    columns = columns_of(split)

    def gather(rows: tf.Tensor) -> Any:
        return as_batch(tuple(tf.gather(column, rows) for column in columns))

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
