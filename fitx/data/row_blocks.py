"""Batches in blocks: many of an epoch in one piece, so that one call can run them all."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from fitx.compat.resident_dataset import ResidentDataset
from fitx.data.feed import ENDLESS, columns_of, order_of, ready_ahead
from fitx.data.prepare import Data
from fitx.data.splits import Split

MOST_BYTES = 16 * 2**20
"""In a block that holds more than one batch."""

_AHEAD = 2
"""Blocks made ready while one runs."""


class Block(NamedTuple):
    """Consecutive batches of one pass over a split.

    Args:
        columns: x, (x, y) or (x, y, sample_weight), each (batches, batch_size, ...). Batches
            after `full` are there only to keep the shape, apart from a short one.
        first: Number of the first batch to run, above 0 where a run goes on within a block.
        full: How many batches of full size the block holds.
        short: Rows of the short batch at number `full`, which ends a pass, 0 in the blocks before
            it; None where passes end with a full batch.
    """

    columns: tuple[Any, ...]
    first: Any
    full: Any
    short: Any


def training_blocks(data: Data, *, first_epoch: int = 0, first_step: int = 0) -> tf.data.Dataset:
    """Return the batches of `training_batches` in blocks, epoch after epoch without end."""
    split = data.splits["train"]
    # An epoch's last block may hold fewer batches: blocks are counted within one epoch only.
    epochs, first_step = divmod(first_step, data.steps("train"))
    first_epoch += epochs
    rows = min(len(split), data.steps("train") * data.batch_size)
    plan = _Plan(rows, min(data.batch_size, rows), _bytes_per_row(split))
    orders = tf.data.Dataset.range(first_epoch, ENDLESS).map(order_of(data, len(split)))
    blocks = orders.prefetch(1).flat_map(plan.cut).skip(first_step // plan.size)
    blocks = blocks.enumerate().map(_starting_at(first_step % plan.size))
    return ready_ahead(blocks.map(_gathered(split, plan)), _AHEAD)


def evaluation_blocks(split: Split, batch_size: int, steps: int | None = None) -> tf.data.Dataset:
    """Return the batches of `evaluation_batches` in blocks, over and over."""
    rows = len(split) if steps is None else min(len(split), steps * batch_size)
    plan = _Plan(rows, batch_size, _bytes_per_row(split))
    blocks = plan.cut(tf.range(rows, dtype=tf.int64)).map(_gathered(split, plan))
    # A small evaluation would else spend most of its time on setting up its stream.
    return ResidentDataset(blocks) if plan.blocks == 1 else ready_ahead(blocks.repeat(), _AHEAD)


class _Plan:
    """How the rows of one pass are cut into blocks of one shape."""

    def __init__(self, rows: int, batch_size: int, bytes_per_row: int) -> None:
        self.rows, self.batch_size = rows, batch_size
        # One short batch takes no more room than its rows.
        self.width = min(rows, batch_size)
        batches = math.ceil(rows / batch_size)
        most = max(1, MOST_BYTES // max(1, self.width * bytes_per_row))
        self.blocks = math.ceil(batches / most)
        self.size = math.ceil(batches / self.blocks)

    def cut(self, order: tf.Tensor) -> tf.data.Dataset:
        """Return the blocks of one pass, of row numbers in place of rows."""
        count = self.blocks * self.size * self.width
        numbers = tf.pad(order[: self.rows], [[0, count - self.rows]])
        numbers = tf.reshape(numbers, (self.blocks, self.size, self.width))
        full = np.clip(self.rows // self.batch_size - np.arange(self.blocks) * self.size, 0, None)
        full = np.minimum(full, self.size).astype(np.int32)
        short = np.zeros(self.blocks, np.int32)
        short[-1] = self.rows % self.batch_size
        first = np.zeros(self.blocks, np.int32)
        return tf.data.Dataset.from_tensor_slices(Block((numbers,), first, full, short))


def _starting_at(batch: int) -> Callable[[tf.Tensor, Block], Block]:
    def start(number: tf.Tensor, block: Block) -> Block:
        return block._replace(first=tf.where(number == 0, batch, 0))

    return start


def _gathered(split: Split, plan: _Plan) -> Callable[[Block], Block]:
    columns = columns_of(split)
    is_ragged = plan.rows % plan.batch_size > 0

    def gather(block: Block) -> Block:
        batches = tuple(tf.gather(column, block.columns[0]) for column in columns)
        return block._replace(columns=batches, short=block.short if is_ragged else None)

    return gather


def _bytes_per_row(split: Split) -> int:
    return sum(array.nbytes for array in split.arrays().values()) // max(1, len(split))
