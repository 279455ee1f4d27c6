"""The order of rows in each epoch, and random numbers for datasets.

All come from the raw words of numpy's Philox generator, whose stream is guaranteed not to change;
the methods of `numpy.random.Generator` may change with numpy's version.
"""

from functools import lru_cache

import numpy as np

FIRST_DATA_STREAM = 2**63
"""Streams below order the epochs; a dataset that draws its rows takes this one and those above."""


def permutation(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the order of `count` rows in one epoch.

    A pure function of its arguments, the same on every platform and with every numpy.

    Args:
        seed: The experiment's, from 0 to 2**64 - 1.
        epoch: Counted from 0, below 2**63.
        count: Number of rows.

    Returns:
        The numbers from 0 to `count` - 1 as int64, each once.
    """
    drawn = words(seed, epoch, count)
    order = np.argsort(drawn)
    ranked = drawn[order]
    if (ranked[1:] == ranked[:-1]).any():
        # Only among equal words, of which there are hardly ever two, does the way of sorting
        # matter; the stable one takes five times as long.
        order = np.argsort(drawn, kind="stable")
    return order.astype(np.int64, copy=False)


def endless_rows(seed: int | None, rows: int, first: int, count: int) -> np.ndarray:
    """Return `count` numbers from position `first` of an endless sequence of passes over rows.

    Pass p has the order `permutation(seed, p, rows)`; without a seed, 0 to `rows` - 1.
    """
    if seed is None:
        return np.arange(first, first + count, dtype=np.int64) % rows
    first_pass, start = divmod(first, rows)
    passes = range(first_pass, (first + count - 1) // rows + 1)
    return np.concatenate([_of_pass(seed, p, rows) for p in passes])[start : start + count]


@lru_cache(maxsize=4)
def _of_pass(seed: int, number: int, rows: int) -> np.ndarray:
    """Return the order of a pass; many short epochs may share one long pass."""
    return permutation(seed, number, rows)


def uniform(seed: int, stream: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32 numbers, uniform in [0, 1), a pure function of the arguments."""
    drawn = words(seed, stream, int(np.prod(shape)))
    # The 24 highest bits are as many as a float32 holds: no rounding, so never 1.0.
    return ((drawn >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)).reshape(shape)


def words(seed: int, stream: int, count: int) -> np.ndarray:
    """Return `count` random uint64 words; streams of one seed are independent of each other."""
    key = np.array([seed, stream], dtype=np.uint64)
    return np.asarray(np.random.Philox(key=key).random_raw(count), dtype=np.uint64)
