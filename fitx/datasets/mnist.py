"""Handwritten digits, 28x28, downloaded by Keras."""

from typing import Annotated

import keras
from annotated_types import Ge

from fitx.data.splits import Splits
from fitx.datasets import register
from fitx.datasets._keras_images import ImageArchive, load

_SOURCE = ImageArchive(
    "mnist",
    keras.datasets.mnist.load_data,
    {"mnist.npz": "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"},
)


@register
def mnist(*, image_size: Annotated[int, Ge(8)] | None = None) -> Splits:
    """Return MNIST: 60,000 handwritten digits to train on and 10,000 to test on.

    x: float32 in [0, 1], shape (rows, 28, 28, 1). y: int32 from 0 to 9, the digit,
    shape (rows,). Stored in Keras' cache folder, ~/.keras or KERAS_HOME.
    By Y. LeCun and C. Cortes, CC BY-SA 3.0.

    Args:
        image_size: Height and width to scale the images to; by default they are 28x28.

    Raises:
        DataError: If the files are not in the cache and cannot be downloaded; it says where to put
            them.
    """
    return load(_SOURCE, image_size)
