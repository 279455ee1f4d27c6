"""Convolutions to one channel give what TensorFlow's own give, and their gradients do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow import nn

from fitx.compat.convolution import to_one_channel_as_products


def both(layer, shape):
    """Return output and gradients of a layer, by TensorFlow's kernel and as products."""
    keras.utils.set_random_seed(0)
    x = tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)
    layer.build(shape)

    def outcome():
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        return y, *tape.gradient(loss, [x, *layer.trainable_variables])

    theirs = outcome()
    with to_one_channel_as_products():
        ours = tf.function(outcome, autograph=False)
        graph = ours.get_concrete_function().graph
        return theirs, ours(), {op.type for op in graph.get_operations()}


@pytest.mark.parametrize("kernel", [3, 7, (4, 6), (1, 9), (2, 5)])
def test_output_and_gradients_are_those_of_the_convolution(kernel):
    layer = keras.layers.Conv2D(1, kernel, padding="same")

    theirs, ours, operations = both(layer, (3, 9, 7, 16))

    assert "Conv2D" not in operations
    for expected, found in zip(theirs, ours, strict=True):
        scale = float(tf.reduce_max(tf.abs(expected)))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (keras.layers.Conv2D(2, 3, padding="same"), (3, 9, 7, 16)),
        (keras.layers.Conv2D(1, 3, padding="valid"), (3, 9, 7, 16)),
        (keras.layers.Conv2D(1, 3, padding="same", strides=2), (3, 9, 7, 16)),
        (keras.layers.Conv2D(1, 3, padding="same", dilation_rate=2), (3, 9, 7, 16)),
        (keras.layers.Conv2D(1, 3, padding="same"), (3, 9, 7, 4)),
        (keras.layers.Conv2D(1, 2, padding="same"), (3, 9, 7, 16)),
        (keras.layers.Conv1D(1, 9, padding="same"), (3, 9, 16)),
    ],
)
def test_other_convolutions_are_left_to_tensorflow(layer, shape):
    theirs, ours, operations = both(layer, shape)

    assert "Conv2D" in operations
    np.testing.assert_array_equal(ours[0], theirs[0])


def test_keras_still_convolves_by_the_conv_of_its_backend(monkeypatch):
    convolved = []
    monkeypatch.setattr(
        nn, "conv", lambda inputs, *a, **k: convolved.append(inputs.shape) or inputs
    )

    keras.layers.Conv2D(2, 3, use_bias=False)(tf.ones((1, 5, 5, 2)))

    assert convolved == [(1, 5, 5, 2)]
