"""Blocks of consecutive batches; one call of the training function runs many batches of a block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from fitx.compat.resident_dataset import ResidentDataset
from fitx.data.feed import (
    ENDLESS,
    BatchLayout,
    batch_spec,
    columns_of,
    evaluation_layout,
    order_of,
    ready_ahead,
    training_layout,
)
from fitx.data.prepare import Data
from fitx.data.splits import Split

MOST_BYTES = 16 * 2**20
"""The largest block of more than one batch, in bytes."""

_AHEAD = 2
"""Blocks made ready while one runs."""


class Block(NamedTuple):
    """Consecutive batches of one pass over a split.

    Args:
        columns: x, (x, y) or (x, y, sample_weight), each (batches, batch_size, ...). Batches
            after `full` are there only to keep the shape, apart from a short one.
        first: Number of the first batch to run, above 0 if a run is resumed inside a block.
        full: Number of full batches in the block.
        short: Rows of the short batch at number `full`, which ends a pass, 0 in the blocks before
            it; None where passes end with a full batch.
    """

    columns: tuple[Any, ...]
    first: Any
    full: Any
    short: Any

    @property
    def batch_size(self) -> int:
        """Rows of a full batch."""
        return int(self.columns[0].shape[1])

    @property
    def batch_spec(self) -> Any:
        """The spec of the batches, as `BatchLayout.spec` gives it."""
        rows = self.batch_size if self.short is None else None
        return batch_spec(rows, ((column.shape[2:], column.dtype) for column in self.columns))


def training_blocks(data: Data, *, first_epoch: int = 0, first_step: int = 0) -> tf.data.Dataset:
    """Return the batches of `training_batches` in blocks, epoch after epoch without end."""
    # An epoch's last block may hold fewer batches: blocks are counted within one epoch only.
    epochs, first_step = divmod(first_step, data.steps("train"))
    first_epoch += epochs
    plan = _Plan(training_layout(data))
    split = data.splits["train"]
    orders = tf.data.Dataset.range(first_epoch, ENDLESS).map(order_of(data, len(split)))
    blocks = orders.prefetch(1).flat_map(plan.cut).skip(first_step // plan.size)
    blocks = blocks.enumerate().map(_starting_at(first_step % plan.size))
    return ready_ahead(blocks.map(_gathered(plan.layout)), _AHEAD)


def evaluation_blocks(split: Split, batch_size: int, steps: int | None = None) -> tf.data.Dataset:
    """Return the batches of `evaluation_batches` in blocks, over and over."""
    plan = _Plan(evaluation_layout(split, batch_size, steps))
    blocks = plan.cut(tf.range(plan.layout.rows, dtype=tf.int64)).map(_gathered(plan.layout))
    # A small evaluation would otherwise spend most of its time on setting up its stream.
    return ResidentDataset(blocks) if plan.blocks == 1 else ready_ahead(blocks.repeat(), _AHEAD)


class _Plan:
    """The blocks of one shape into which the rows of one pass are cut."""

    def __init__(self, layout: BatchLayout) -> None:
        self.layout = layout
        batches = math.ceil(layout.rows / layout.batch_size)
        # A pass of one short batch takes no more memory than its rows.
        bytes_per_batch = layout.largest * _bytes_per_row(layout.split)
        most = max(1, MOST_BYTES // max(1, bytes_per_batch))
        self.blocks = math.ceil(batches / most)
        self.size = math.ceil(batches / self.blocks)

    def cut(self, order: tf.Tensor) -> tf.data.Dataset:
        """Return the blocks of one pass, with row numbers in place of rows."""
        rows, width = self.layout.rows, self.layout.largest
        count = self.blocks * self.size * width
        numbers = tf.pad(order[:rows], [[0, count - rows]])
        numbers = tf.reshape(numbers, (self.blocks, self.size, width))
        full = np.clip(self.layout.full - np.arange(self.blocks) * self.size, 0, None)
        full = np.minimum(full, self.size).astype(np.int32)
        short = np.zeros(self.blocks, np.int32)
        short[-1] = self.layout.short
        first = np.zeros(self.blocks, np.int32)
        return tf.data.Dataset.from_tensor_slices(Block((numbers,), first, full, short))


def _starting_at(batch: int) -> Callable[[tf.Tensor, Block], Block]:
    def start(number: tf.Tensor, block: Block) -> Block:
        return block._replace(first=tf.where(number == 0, batch, 0))

    return start


def _gathered(layout: BatchLayout) -> Callable[[Block], Block]:
    columns = columns_of(layout.split)

    def gather(block: Block) -> Block:
        batches = tuple(tf.gather(column, block.columns[0]) for column in columns)
        return block._replace(columns=batches, short=block.short if layout.short else None)

    return gather


def _bytes_per_row(split: Split) -> int:
    return sum(array.nbytes for array in split.arrays().values()) // max(1, len(split))
