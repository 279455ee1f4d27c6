"""Pictures of clothes, 28x28, downloaded by Keras."""

from typing import Annotated

import keras
from annotated_types import Ge

from fitx.data.splits import Splits
from fitx.datasets import register
from fitx.datasets._keras_images import ImageArchive, load

_HOST = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_FILES = (
    "train-labels-idx1-ubyte.gz",
    "train-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
)
_SOURCE = ImageArchive(
    "fashion_mnist",
    keras.datasets.fashion_mnist.load_data,
    {f"fashion-mnist/{file}": _HOST + file for file in _FILES},
)


@register
def fashion_mnist(*, image_size: Annotated[int, Ge(8)] | None = None) -> Splits:
    """Return Fashion-MNIST: 60,000 pictures of clothes to train on and 10,000 to test on.

    x: float32 in [0, 1], shape (rows, 28, 28, 1). y: int32 from 0 to 9, the kind of clothing,
    shape (rows,). Stored in Keras' cache folder, ~/.keras or KERAS_HOME.
    By Zalando SE, MIT licence.

    Args:
        image_size: Height and width to scale the images to; by default they are 28x28.

    Raises:
        DataError: If the files are not in the cache and cannot be downloaded; it says where to put
            them.
    """
    return load(_SOURCE, image_size)
