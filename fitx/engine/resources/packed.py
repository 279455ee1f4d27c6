"""Packs arrays of changing sizes, and of strings, into one array of bytes for a checkpoint.

Each array is stored as its rank and its sizes, followed by the bytes of its numbers, or by the
lengths of its strings and their bytes. Ranks, sizes and lengths are int64, little-endian.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from fitx.errors import StorageError

Array = np.ndarray[Any, Any]

MOST_DIMENSIONS = 32
"""Largest number of dimensions of an array that every version of NumPy supports."""


def pack(arrays: Sequence[Array]) -> Array:
    """Return arrays of numbers, and of `bytes` objects, as one uint8 array of one dimension."""
    pieces: list[bytes] = []
    for array in arrays:
        pieces.append(_integers([array.ndim, *array.shape]))
        if array.dtype.hasobject:
            strings = [bytes(string) for string in array.reshape(-1)]
            pieces += [_integers([len(string) for string in strings]), *strings]
        else:
            pieces.append(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(b"".join(pieces), np.uint8)


def unpack(packed: Array, dtypes: Sequence[Any]) -> list[Array]:
    """Return the arrays that `pack` was given.

    Args:
        packed: The bytes that `pack` returned.
        dtypes: The dtype of each array; `object` for strings.

    Raises:
        StorageError: These bytes are not arrays of these dtypes.
    """
    reader = _Reader(packed.tobytes())
    arrays = [reader.array(np.dtype(dtype)) for dtype in dtypes]
    reader.demand_end()
    return arrays


def _integers(numbers: Sequence[int]) -> bytes:
    return np.array(numbers, "<i8").tobytes()


class _Reader:
    """Reads arrays from bytes, and compares each with the bytes left before it allocates memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def array(self, dtype: np.dtype[Any]) -> Array:
        """Read the next array."""
        (rank,) = self._integers(1)
        if rank > MOST_DIMENSIONS:
            raise StorageError(f"packed arrays claim one of {rank} dimensions")
        shape = self._integers(rank)
        count = math.prod(shape)
        if dtype.hasobject:
            array = np.array([*map(self._take, self._integers(count)), None], object)[:-1]
        else:
            array = np.frombuffer(bytearray(self._take(count * dtype.itemsize)), dtype)
        try:
            return array.reshape(shape)
        except ValueError as error:
            # Such as no rows of more numbers than can be counted.
            raise StorageError("packed arrays claim one larger than any can be") from error

    def demand_end(self) -> None:
        """Raise StorageError if bytes are left."""
        if self._at != len(self._data):
            raise StorageError("packed arrays are followed by further bytes")

    def _integers(self, count: int) -> list[int]:
        numbers: list[int] = np.frombuffer(self._take(8 * count), "<i8").tolist()
        if any(number < 0 for number in numbers):
            raise StorageError("packed arrays have a negative size")
        return numbers

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            self._too_few()
        self._at += size
        return self._data[self._at - size : self._at]

    def _too_few(self) -> NoReturn:
        raise StorageError("packed arrays have fewer bytes than they claim")
