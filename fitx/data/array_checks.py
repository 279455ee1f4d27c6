"""Checks the arrays of a dataset before training."""

import math
from collections.abc import Iterator

import numpy as np

from fitx.data import structure
from fitx.data.splits import NAMES, PARTS, Split, Splits
from fitx.errors import DataError

_BLOCK = 2**20
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def validate(splits: Splits, source: str) -> None:
    """Refuse arrays that cannot be trained on, naming every problem at once.

    Args:
        splits: What the dataset yielded.
        source: The dataset as the reader knows it, such as "npz 'train.npz'".

    Raises:
        DataError: With one line per problem.
    """
    problems = list(_problems(splits))
    if problems:
        lines = [f"{source}: {problem}" for problem in problems]
        count = [f"{len(problems)} problems."] if len(problems) > 1 else []
        raise DataError("\n".join(lines + count))


def _problems(splits: Splits) -> Iterator[str]:
    if "train" not in splits:
        yield f"there is no 'train' split, only {', '.join(splits) or 'nothing'}."
    for name, split in splits.items():
        if name not in NAMES:
            yield f"split '{name}' is unknown; the splits are {', '.join(NAMES)}."
        for part, array in split.arrays().items():
            yield from _array_problems(f"{name}.{part}", array)
        yield from _split_problems(name, split)
        if name != "train" and "train" in splits:
            yield from _differences(name, split, splits["train"])


def _array_problems(where: str, array: np.ndarray) -> Iterator[str]:
    if isinstance(array, dict) and any(not isinstance(key, str) for key in array):
        yield f"{where} is a dict with keys that are no strings; name its arrays by strings."
    elif not isinstance(array, np.ndarray):
        kind = "None" if array is None else f"a {type(array).__name__}"
        yield f"{where} is {kind}; expected a numpy array."
    elif array.dtype.kind not in "biuf":
        yield f"{where} has dtype {array.dtype}; expected numbers (float, int, uint8 or bool)."
    elif array.ndim == 0:
        yield f"{where} is a single number; expected one entry per row."
    elif len(array) == 0:
        yield f"{where} has no rows; expected at least one."
    elif array.size == 0:
        yield f"{where} has rows without values: its shape is {array.shape}."
    elif array.dtype.kind == "f":
        yield from _bad_values(where, array)


def _bad_values(where: str, array: np.ndarray) -> Iterator[str]:
    count, first = _count_bad(array)
    if first is None:
        return
    index = ", ".join(str(int(i)) for i in first)
    values = "1 value is" if count == 1 else f"{count:,} values are"
    yield (
        f"{where}: {values} NaN, infinite or beyond float32, of {array.size:,}; "
        f"the first is {float(array[first])} at [{index}]. Remove or replace such values."
    )


def _count_bad(array: np.ndarray) -> tuple[int, tuple[int, ...] | None]:
    count, first = 0, None
    rows = max(1, _BLOCK // math.prod(array.shape[1:]))
    for start in range(0, len(array), rows):
        good = _good(array[start : start + rows])
        if good.all():
            continue
        count += good.size - int(np.count_nonzero(good))
        if first is None:
            row, *rest = np.unravel_index(int(np.argmin(good)), good.shape)
            first = (start + int(row), *(int(i) for i in rest))
    return count, first


def _good(block: np.ndarray) -> np.ndarray:
    # Wider floats become float32 later; what does not fit there would turn infinite unseen.
    wide = block.dtype.itemsize > 4
    return np.asarray(np.abs(block) <= _FLOAT32_MAX if wide else np.isfinite(block))


def _split_problems(name: str, split: Split) -> Iterator[str]:
    lengths = {
        part: len(array)
        for part, array in split.arrays().items()
        if isinstance(array, np.ndarray) and array.ndim
    }
    if len(set(lengths.values())) > 1:
        rows = ", ".join(f"{part} has {length:,}" for part, length in lengths.items())
        yield f"{name}: the numbers of rows differ: {rows}."
    if split.sample_weight is not None:
        for part, weight in structure.leaves(split.sample_weight, f"{name}.sample_weight"):
            yield from _weight_problems(part, weight)
        if split.y is None:
            yield f"{name} has sample_weight but no y; weights need targets."


def _weight_problems(where: str, weight: np.ndarray) -> Iterator[str]:
    if not isinstance(weight, np.ndarray) or weight.dtype.kind not in "biuf" or not weight.size:
        return
    if weight.dtype.kind != "b" and (weight < 0).any():
        first = int(np.argmax((weight < 0).reshape(len(weight), -1).any(axis=1)))
        yield f"{where} is negative, first in row {first}; expected 0 or more."
    if not weight.any():
        yield f"{where} is 0 in every row; nothing would be learned."


def _differences(name: str, split: Split, train: Split) -> Iterator[str]:
    arrays, train_arrays = split.arrays(), train.arrays()
    every = (*arrays.values(), *train_arrays.values())
    if not all(isinstance(array, np.ndarray) for array in every):
        return
    for part in PARTS:
        if (part in split.parts) == (part in train.parts):
            continue
        # Weights may be for training alone, as `class_weight` is.
        if part != "sample_weight":
            has, lacks = (name, "train") if part in split.parts else ("train", name)
            yield f"{lacks} has no {part}, but {has} has; give it to both or to none."
    for part in (part for part in split.parts if part in train.parts):
        names, train_names = (
            [leaf for leaf, _ in structure.leaves(one.parts[part], part)] for one in (split, train)
        )
        if names != train_names:
            text = f"{name} holds {', '.join(names)}, and train {', '.join(train_names)}; "
            yield f"{text}give every split the same arrays."
            continue
        for leaf in names:
            shape, train_shape = arrays[leaf].shape[1:], train_arrays[leaf].shape[1:]
            if shape != train_shape:
                yield f"{name}.{leaf}: a row has shape {shape}, in train it is {train_shape}."
