"""Reads the shipped handwritten digits."""

from importlib.resources import as_file, files

import numpy as np

from fitx.data.order import permutation

_TEST_ROWS = 360


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images, float32 in [0, 1] of shape (rows, 8, 8, 1), and the labels, int32."""
    with (
        as_file(files("fitx.datasets") / "digits.npz") as path,
        np.load(path, allow_pickle=False) as arrays,
    ):
        x = arrays["images"].astype(np.float32)[..., np.newaxis] / np.float32(16)
        return x, arrays["labels"].astype(np.int32)


def train_and_test_rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the training and of the test rows, the same ones for any seed."""
    order = permutation(0, 0, count)
    return order[:-_TEST_ROWS], order[-_TEST_ROWS:]
