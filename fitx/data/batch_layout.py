"""The batches of one pass over a split: how many there are, their rows, and their spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import tensorflow as tf

from fitx.data.prepare import Data
from fitx.data.splits import Split

Rows: TypeAlias = int | dict[str, int]
"""A number of rows; of several streams, that of each by its name."""


@dataclass(frozen=True)
class BatchLayout:
    """The batches of one pass over a split: fed one by one, fed in blocks, and traced for.

    Args:
        split: Their rows.
        batch_size: Rows of a full batch.
        full: Number of full batches.
        short: Rows of the short batch that ends a pass; 0 for none.
        others: The batches of the same steps from other streams, by name; None if there are no
            streams.
        name: The name of this stream.
    """

    split: Split
    batch_size: int
    full: int
    short: int
    others: Mapping[str, BatchLayout] | None = None
    name: str = ""

    @property
    def rows(self) -> int:
        """Rows of one pass."""
        return self.full * self.batch_size + self.short

    @property
    def largest(self) -> int:
        """Rows of the largest batch."""
        return self.batch_size if self.full else self.short

    @property
    def full_rows(self) -> Rows:
        """Rows of the largest batch, of each stream."""
        rows: Rows = self.by_stream(lambda stream: stream.largest)
        return rows

    @property
    def spec(self) -> Any:
        """The spec of the batches, as the `element_spec` of a dataset."""
        is_static = not self.short
        return self.by_stream(lambda stream: stream._spec(stream.batch_size if is_static else None))

    def by_stream(self, function: Callable[[BatchLayout], Any]) -> Any:
        """Return what a function returns for this layout, or by name for that of each stream."""
        if self.others is None:
            return function(self)
        streams = {self.name: self, **self.others}
        return {name: function(streams[name]) for name in sorted(streams)}

    def _spec(self, rows: int | None) -> Any:
        return tf.nest.map_structure(
            lambda array: tf.TensorSpec((rows, *array.shape[1:]), tf.as_dtype(array.dtype)),
            self.split.batch,
        )


def training_layout(data: Data) -> BatchLayout:
    """Return the batches of an epoch; fewer rows than `data.batch_size` are one full batch."""
    rows = min(len(data.splits["train"]), data.steps("train") * data.batch_size)
    return _layout(data, "train", rows, min(data.batch_size, rows))


def evaluation_layout(data: Data, split: str, steps: int | None = None) -> BatchLayout:
    """Return the batches of an evaluation; without `steps`, of the whole split."""
    rows = len(data.splits[split])
    if steps is not None:
        rows = min(rows, steps * data.batch_size)
    return _layout(data, split, rows, data.batch_size)


def _layout(data: Data, split: str, rows: int, batch_size: int) -> BatchLayout:
    full, short = divmod(rows, batch_size)
    layout = BatchLayout(data.splits[split], batch_size, full, short)
    if data.others is None:
        return layout

    def in_proportion(name: str, other: Data) -> BatchLayout:
        # Of a short batch, other streams have their part too, so that equal sizes stay equal.
        size, rest = (-(-other.batch_size * n // data.batch_size) for n in (batch_size, short))
        return BatchLayout(other.splits[split], size, full, rest, name=name)

    beside = {name: other for name, other in data.others.items() if split in other.splits}
    others = {name: in_proportion(name, other) for name, other in beside.items()}
    return replace(layout, others=others, name=data.name)
