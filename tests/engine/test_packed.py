"""Arrays of any size, and of strings, come back from their bytes; other bytes are refused."""

import numpy as np
import pytest

from fitx.engine.resources.packed import pack, unpack
from fitx.errors import StorageError

STRINGS = np.array([[b"a\0", b""], [b"\xff" * 300, b"b"]], object)
NUMBERS = np.arange(6, dtype="int64").reshape(2, 3)


@pytest.mark.parametrize(
    "arrays",
    [
        [STRINGS],
        [NUMBERS, STRINGS, np.array(1.5, "float32")],
        [np.zeros((0, 2), bool), np.empty(0, object), np.array(b"alone", object)],
    ],
)
def test_what_was_packed_is_unpacked(arrays):
    found = unpack(pack(arrays), [array.dtype for array in arrays])

    assert [array.tolist() for array in found] == [array.tolist() for array in arrays]
    assert [array.shape for array in found] == [array.shape for array in arrays]


def test_bytes_that_were_changed_are_refused_before_memory_is_taken_for_them():
    whole = pack([NUMBERS, STRINGS])
    huge = np.frombuffer(np.array([2, 10**15, 10**15], "<i8").tobytes(), np.uint8)
    empty = np.frombuffer(np.array([3, 0, 2**62, 2**62], "<i8").tobytes(), np.uint8)
    deep = np.frombuffer(np.array([10**6], "<i8").tobytes(), np.uint8)
    negative = np.frombuffer(np.array([1, -1], "<i8").tobytes(), np.uint8)

    for bad in (whole[:-1], np.append(whole, whole[:1]), whole[3:], huge, deep, negative):
        with pytest.raises(StorageError, match="^packed arrays "):
            unpack(bad, ["int64", object])
    for dtype in ("int64", object):
        for bad in (huge, empty):
            with pytest.raises(StorageError, match="^packed arrays "):
                unpack(bad, [dtype])
