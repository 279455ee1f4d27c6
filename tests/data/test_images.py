import numpy as np
import pytest
import tensorflow as tf

from fitx.data import images


@pytest.fixture
def pictures():
    return np.random.default_rng(0).random((2, 8, 6, 3), dtype=np.float32)


def test_no_size_or_the_same_size_leaves_images_alone(pictures):
    square = pictures[:, :6]
    assert images.scale(pictures, None) is pictures
    assert images.scale(square, 6) is square


@pytest.mark.parametrize("size", [3, 6, 8, 9, 28])
def test_scaling_is_that_of_tensorflow(pictures, size):
    expected = tf.image.resize(pictures, (size, size), antialias=True).numpy()
    scaled = images.scale(pictures, size)
    assert scaled.dtype == np.float32
    assert scaled.shape == (2, size, size, 3)
    np.testing.assert_allclose(scaled, expected, atol=1e-6)


def test_scaling_keeps_values_between_0_and_1():
    white = np.ones((1, 8, 8, 1), np.float32)
    assert images.scale(white, 28).max() <= 1


def test_image_shapes_are_told_from_others():
    assert images.height_width_channels([28, 20, 3], "convnet") == (28, 20, 3)
    with pytest.raises(ValueError) as caught:
        images.height_width_channels((32,), "convnet")
    assert str(caught.value) == (
        "convnet needs images of shape (height, width, channels); a row of the data has shape "
        "(32,)."
    )
