"""Blocks of consecutive batches; one call of the training function runs many batches of a block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from fitx.compat.resident_dataset import ResidentDataset
from fitx.data.batch_layout import BatchLayout, Rows, evaluation_layout, training_layout
from fitx.data.feed import ENDLESS, columns_of, gathered, natural_order, order_of, ready_ahead
from fitx.data.prepare import Data
from fitx.data.splits import Split

MOST_BYTES = 16 * 2**20
"""The largest block of more than one batch, in bytes."""

_AHEAD = 2
"""Blocks made ready while one runs."""


class Block(NamedTuple):
    """Consecutive batches of one pass over a split.

    Args:
        batches: The batches, as a step gets them, with one more axis: each array is (batches,
            batch_size, ...). Batches after `full` are there only to keep the shape, apart from a
            short one.
        first: Number of the first batch to run, above 0 if a run is resumed inside a block.
        full: Number of full batches in the block.
        short: Rows of the short batch at number `full`, which ends a pass, 0 in the blocks before
            it; None where passes end with a full batch. Of several streams, by their names.
    """

    batches: Any
    first: Any
    full: Any
    short: Any

    @property
    def full_rows(self) -> Rows:
        """Rows of a full batch, of each stream; only where `short` is not None."""
        if isinstance(self.short, dict):
            return {name: _width(self.batches[name]) for name in self.short}
        return _width(self.batches)

    @property
    def has_short(self) -> bool:
        """True if a short batch follows the full ones."""
        return self.short is not None and int(tf.nest.flatten(self.short)[0]) > 0

    @property
    def batch_spec(self) -> Any:
        """The spec of the batches, as `BatchLayout.spec` gives it."""

        def spec(column: Any) -> tf.TensorSpec:
            rows = column.shape[1] if self.short is None else None
            return tf.TensorSpec((rows, *column.shape[2:]), column.dtype)

        return tf.nest.map_structure(spec, self.batches)


def training_blocks(data: Data, *, first_epoch: int = 0, first_step: int = 0) -> tf.data.Dataset:
    """Return the batches of `training_batches` in blocks, epoch after epoch without end."""
    # An epoch's last block may hold fewer batches: blocks are counted within one epoch only.
    epochs, first_step = divmod(first_step, data.steps("train"))
    first_epoch += epochs
    plan = _Plan(training_layout(data))
    orders = tf.data.Dataset.range(first_epoch, ENDLESS).map(order_of(data, plan.layout))
    blocks = orders.prefetch(1).flat_map(plan.cut).skip(first_step // plan.size)
    blocks = blocks.enumerate().map(_starting_at(first_step % plan.size))
    return ready_ahead(blocks.map(_gathered(plan.layout)), _AHEAD)


def evaluation_blocks(data: Data, split: str, steps: int | None = None) -> tf.data.Dataset:
    """Return the batches of `evaluation_batches` in blocks, over and over."""
    plan = _Plan(evaluation_layout(data, split, steps))
    blocks = plan.cut(natural_order(plan.layout)).map(_gathered(plan.layout))
    # A small evaluation would otherwise spend most of its time on setting up its stream.
    return ResidentDataset(blocks) if plan.blocks == 1 else ready_ahead(blocks.repeat(), _AHEAD)


class _Plan:
    """The blocks of one shape into which the rows of one pass are cut."""

    def __init__(self, layout: BatchLayout) -> None:
        self.layout = layout
        batches = layout.full + (layout.short > 0)
        # A pass of one short batch takes no more memory than its rows.
        sizes = layout.by_stream(lambda stream: stream.largest * _bytes_per_row(stream.split))
        bytes_per_batch = sum(tf.nest.flatten(sizes))
        most = max(1, MOST_BYTES // max(1, bytes_per_batch))
        self.blocks = math.ceil(batches / most)
        self.size = math.ceil(batches / self.blocks)

    def cut(self, order: Any) -> tf.data.Dataset:
        """Return the blocks of one pass, with row numbers in place of rows."""
        numbers = self.layout.by_stream(
            lambda stream: self._in_batches(
                order[stream.name] if isinstance(order, dict) else order, stream
            )
        )
        full = np.clip(self.layout.full - np.arange(self.blocks) * self.size, 0, None)
        full = np.minimum(full, self.size).astype(np.int32)
        short = self.layout.by_stream(lambda stream: self._in_last_block(stream.short))
        first = np.zeros(self.blocks, np.int32)
        return tf.data.Dataset.from_tensor_slices(Block(numbers, first, full, short))

    def _in_batches(self, order: tf.Tensor, stream: BatchLayout) -> tf.Tensor:
        count = self.blocks * self.size * stream.largest
        numbers = tf.pad(order[: stream.rows], [[0, count - stream.rows]])
        return tf.reshape(numbers, (self.blocks, self.size, stream.largest))

    def _in_last_block(self, number: int) -> np.ndarray:
        numbers = np.zeros(self.blocks, np.int32)
        numbers[-1] = number
        return numbers


def _starting_at(batch: int) -> Callable[[tf.Tensor, Block], Block]:
    def start(number: tf.Tensor, block: Block) -> Block:
        return block._replace(first=tf.where(number == 0, batch, 0))

    return start


def _gathered(layout: BatchLayout) -> Callable[[Block], Block]:
    columns = columns_of(layout)

    def gather(block: Block) -> Block:
        short = block.short if layout.short else None
        return block._replace(batches=gathered(columns, block.batches), short=short)

    return gather


def _width(batches: Any) -> int:
    return int(tf.nest.flatten(batches)[0].shape[1])


def _bytes_per_row(split: Split) -> int:
    return sum(array.nbytes for array in split.arrays().values()) // max(1, len(split))
