"""Colour photographs of ten things, 32x32, downloaded by Keras."""

from typing import Annotated

import keras
from annotated_types import Ge

from fitx.data.splits import Splits
from fitx.datasets import register
from fitx.datasets._keras_images import ImageArchive, load

_SOURCE = ImageArchive(
    "cifar10",
    keras.datasets.cifar10.load_data,
    {
        "cifar-10-batches-py-target_archive": "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    },
)


@register
def cifar10(*, image_size: Annotated[int, Ge(8)] | None = None) -> Splits:
    """Return CIFAR-10: 50,000 colour photographs to train on and 10,000 to test on.

    x: float32 in [0, 1], shape (rows, 32, 32, 3). y: int32 from 0 to 9, the class of the picture,
    shape (rows,). Stored in Keras' cache folder, ~/.keras or KERAS_HOME.
    By A. Krizhevsky, V. Nair and G. Hinton.

    Args:
        image_size: Height and width to scale the images to; by default they are 32x32.

    Raises:
        DataError: If the files are not in the cache and cannot be downloaded; it says where to put
            them.
    """
    return load(_SOURCE, image_size)
