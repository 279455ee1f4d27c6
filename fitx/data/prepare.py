"""Applies the options of `data:` to a dataset's splits: join, validation_split, class_weight."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fitx.data import structure
from fitx.data.splits import Split, Splits
from fitx.errors import DataError
from fitx.experiment.schema import DataOptions

ALIGNMENT = 64
"""TensorFlow reads an array without a copy only if its address is a multiple of this, in bytes."""


@dataclass(frozen=True)
class Data:
    """Splits ready for training, and the options of their batches.

    Args:
        splits: Contiguous arrays, no floats wider than 32 bits.
        batch_size: Rows per step.
        shuffle: Whether each epoch of train has its own order.
        seed: The seed of that order.
        drop_remainder: Whether train leaves out an epoch's last, short batch.
        others: The data of other streams by name, whose batches are read beside these; None if
            there are no streams. A batch then is a dictionary of the streams' batches.
        name: The name of this stream, which sets the length of epochs and evaluations.
    """

    splits: Splits
    batch_size: int
    shuffle: bool
    seed: int
    drop_remainder: bool
    others: Mapping[str, Data] | None = None
    name: str = ""

    @property
    def streams(self) -> dict[str, Data]:
        """The streams by name, this one first; none if a batch comes from one dataset."""
        return {} if self.others is None else {self.name: self, **self.others}

    def steps(self, split: str) -> int:
        """Return the number of batches in one pass over a split.

        Raises:
            DataError: There is no such split, or it has no full batch and short ones are dropped.
        """
        if split not in self.splits:
            split_names = ", ".join(self.splits)
            raise DataError(f"the data has no '{split}' split; it has {split_names}.")
        rows = len(self.splits[split])
        if split != "train" or not self.drop_remainder:
            return math.ceil(rows / self.batch_size)
        if rows < self.batch_size:
            raise DataError(
                f"train has {rows:,} rows, fewer than one batch of {self.batch_size:,}, and "
                "data.drop_remainder leaves out short batches; lower data.batch_size."
            )
        return rows // self.batch_size


def prepare(splits: Splits, options: DataOptions, *, seed: int) -> Data:
    """Turn a validated dataset into the data to train on.

    Args:
        splits: The splits of the dataset.
        options: The options of `data:`.
        seed: The seed of the order of rows.

    Raises:
        DataError: An option does not suit the dataset.
    """
    if options.join:
        splits = {"train": _joined(list(splits.values()))}
    if not options.labels:
        splits = {
            name: replace(split, y=None, sample_weight=None) for name, split in splits.items()
        }
    if options.validation_split:
        splits = _held_out(splits, options.validation_split)
    if options.class_weight is not None:
        splits = {**splits, "train": _weighted(splits["train"], options.class_weight)}
    ready = {name: split.mapped(_feedable) for name, split in splits.items()}
    return Data(ready, options.batch_size, options.shuffle, seed, options.drop_remainder)


def _joined(splits: list[Split]) -> Split:
    if len(splits) == 1:
        return splits[0]
    weighted = next((split for split in splits if split.sample_weight is not None), None)
    if weighted is not None:
        splits = [_with_weights(split, weighted) for split in splits]
    first, *others = splits
    return first.mapped(lambda *arrays: np.concatenate(arrays), *others)


def _with_weights(split: Split, weighted: Split) -> Split:
    """Return a split with weights, which are 1 by default, shaped as those of another."""
    if split.sample_weight is not None:
        return split

    def ones(weight: np.ndarray) -> np.ndarray:
        return np.ones((len(split), *weight.shape[1:]), np.float32)

    return replace(split, sample_weight=structure.mapped(ones, weighted.sample_weight))


def _held_out(splits: Splits, fraction: float) -> Splits:
    if "validation" in splits:
        raise DataError(
            f"data.validation_split is {fraction}, but the dataset has a validation split of "
            f"{len(splits['validation']):,} rows; leave validation_split out to use that one."
        )
    train = splits["train"]
    training_rows = math.floor(len(train) * (1.0 - fraction))
    if training_rows in (0, len(train)):
        raise DataError(
            f"data.validation_split is {fraction} of {len(train):,} training rows, which leaves "
            f"{training_rows:,} to train on and {len(train) - training_rows:,} to validate on; "
            "both need one."
        )
    held_out = train.mapped(lambda array: array[training_rows:])
    train = train.mapped(lambda array: array[:training_rows])
    return {"train": train, "validation": held_out} | {
        name: split for name, split in splits.items() if name != "train"
    }


def _weighted(split: Split, class_weight: dict[int, float]) -> Split:
    y = split.y
    if y is None:
        raise DataError("data.class_weight needs class labels, and the batches have no y.")
    if structure.is_nested(y):
        raise DataError(
            f"data.class_weight needs one y, and this data has {_names(y, 'y')}; let the dataset "
            "give a sample weight for each."
        )
    labels = _class_labels(y)
    if labels is None:
        raise DataError(
            "data.class_weight needs class labels, one per row: whole numbers, or one-hot rows; y "
            f"has dtype {y.dtype} and rows of shape {y.shape[1:]}."
        )
    classes, row_classes = np.unique(labels, return_inverse=True)
    _check_class_weight(class_weight, [int(label) for label in classes])
    by_class = np.array([class_weight.get(int(label), 1.0) for label in classes], np.float32)
    weight = by_class[row_classes]
    if structure.is_nested(split.sample_weight):
        raise DataError(
            "data.class_weight multiplies one array of weights, and this data has "
            f"{_names(split.sample_weight, 'sample_weight')}; multiply them in the dataset."
        )
    if split.sample_weight is not None:
        sample_weight = split.sample_weight
        weight = sample_weight * weight.reshape(-1, *(1,) * (sample_weight.ndim - 1))
    if not weight.any():
        raise DataError("data.class_weight gives every row the weight 0.")
    return replace(split, sample_weight=weight)


def _names(value: Any, part: str) -> str:
    return " and ".join(name for name, _ in structure.leaves(value, part))


def _class_labels(y: np.ndarray) -> np.ndarray | None:
    """Return the class of each row, for whole numbers or one-hot rows; None for other labels."""
    if y.shape[1:] in ((), (1,)):
        return y.reshape(-1) if bool(np.all(y == np.round(y))) else None
    is_one_hot = y.ndim == 2 and bool(np.all((y == 0) | (y == 1)) and np.all(y.sum(axis=1) == 1))
    return y.argmax(axis=1) if is_one_hot else None


def _check_class_weight(class_weight: dict[int, float], classes: list[int]) -> None:
    absent = sorted(set(class_weight) - set(classes))
    if absent:
        class_range = f"{len(classes)} classes from {classes[0]} to {classes[-1]}"
        raise DataError(
            f"data.class_weight names {', '.join(map(str, absent))}, which no training row is "
            f"labelled with; the labels are {class_range}."
        )
    for label, weight in class_weight.items():
        if not (math.isfinite(weight) and weight >= 0):
            raise DataError(f"data.class_weight.{label} is {weight}; expected 0 or more.")


def _feedable(array: np.ndarray) -> np.ndarray:
    """Return the array in a form that TensorFlow reads without a copy; copies at most once."""
    wide_float = array.dtype.kind == "f" and array.dtype.itemsize > 4
    dtype = np.dtype(np.float32) if wide_float else array.dtype.newbyteorder("=")
    flags = array.flags
    lies_well = flags.c_contiguous and flags.writeable and array.ctypes.data % ALIGNMENT == 0
    if lies_well and dtype == array.dtype:
        return array
    ready = aligned(array.shape, dtype)
    ready[...] = array
    return ready


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return a new uninitialized array that TensorFlow reads without a copy."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)
