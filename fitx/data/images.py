"""Images as arrays: rows of (height, width, channels), values in [0, 1]."""

from collections.abc import Sequence

import numpy as np


def scale(images: np.ndarray, size: int | None) -> np.ndarray:
    """Scale images bilinearly to squares of `size` pixels; None leaves them as they are.

    Equals `tf.image.resize(images, (size, size), antialias=True)`.

    Args:
        images: float32, shape (n, height, width, channels).
        size: Height and width of the result.
    """
    height, width = images.shape[1:3]
    if size is None or height == width == size:
        return images
    rows, columns = _taps(height, size), _taps(width, size)
    tall = np.tensordot(rows, images, axes=(1, 1))  # (size, n, width, channels)
    wide = np.tensordot(columns, tall, axes=(1, 2))  # (size, size, n, channels)
    return np.ascontiguousarray(wide.transpose(2, 1, 0, 3))


def height_width_channels(shape: Sequence[int], network: str) -> tuple[int, int, int]:
    """Return the three sides of an image's shape.

    Raises:
        ValueError: If the shape is not that of an image; names the network that needs one.
    """
    if len(shape) != 3:
        raise ValueError(
            f"{network} needs images of shape (height, width, channels); a row of the data has "
            f"shape {tuple(shape)}."
        )
    height, width, channels = shape
    return height, width, channels


def _taps(length: int, size: int) -> np.ndarray:
    """Return how much each of `length` pixels gives to each of `size`: triangles, summing to 1."""
    step = length / size
    centers = (np.arange(size) + 0.5) * step
    distance = np.abs(np.arange(length) + 0.5 - centers[:, None]) / max(step, 1.0)
    taps = np.maximum(0.0, 1.0 - distance)
    return np.asarray(taps / taps.sum(axis=1, keepdims=True), np.float32)
