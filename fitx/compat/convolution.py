"""Replaces convolutions with one output channel by matrix products, which are faster on a CPU.

With few output channels, oneDNN's kernels leave most of a CPU unused: the 7x7 convolution of the
guide's GAN, 128 channels to 1, does 5 % of the step's arithmetic and took 38 % of its time. Here
one matrix product multiplies all pixels by every number of the kernel, and the products are shifted
and added, which is four times as fast. Results differ by rounding: 3e-6 of their size. Without it a
training step of the shipped GAN (guide/gan, `plain`) takes 1.3 times the processor time: 163 ms
instead of 123 ms, the median of steps measured in turn with it and without; three such measurements
gave 1.32, 1.36 and 1.34.
The convolution of Keras' backend is replaced while a step is traced.
Test that fails when Keras changes: tests/compat/test_convolution.py:
test_keras_still_convolves_by_the_conv_of_its_backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import tensorflow as tf
from keras.src.backend.tensorflow import nn

from fitx.compat.replacement import replaced
from fitx.compat.required_names import demand

demand(nn, "conv")

FEWEST_PRODUCTS = 9
"""Numbers of the kernel per channel, below which TensorFlow's kernel is no slower."""

FEWEST_CHANNELS = 16
"""Channels that go in, below which the product of matrices is too thin."""


@contextmanager
def to_one_channel_as_products() -> Iterator[None]:
    """Let Keras' layers compute these convolutions as products of matrices, while a step is traced.

    A GPU's own kernels are left alone.
    """
    on_gpu = bool(tf.config.get_visible_devices("GPU"))
    with nullcontext() if on_gpu else replaced(nn, "conv", _choosing(nn.conv)):
        yield


def _choosing(original: Callable[..., Any]) -> Callable[..., Any]:
    def conv(
        inputs: Any,
        kernel: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        **options: Any,
    ) -> Any:
        ones = {*tf.nest.flatten(strides), *tf.nest.flatten(dilation_rate)} == {1}
        is_simple = ones and padding == "same" and data_format in (None, "channels_last")
        inputs, kernel = tf.convert_to_tensor(inputs), tf.convert_to_tensor(kernel)
        if is_simple and not options and _is_worth_it(inputs, kernel):
            return convolved(inputs, kernel)
        return original(inputs, kernel, strides, padding, data_format, dilation_rate, **options)

    return conv


def _is_worth_it(inputs: tf.Tensor, kernel: tf.Tensor) -> bool:
    if inputs.shape.rank != 4 or inputs.dtype != tf.float32 or None in inputs.shape[1:]:
        return False
    height, width, channels, output_channels = kernel.shape
    enough = height * width >= FEWEST_PRODUCTS and channels >= FEWEST_CHANNELS
    return bool(output_channels == 1 and enough and channels == inputs.shape[-1])


@tf.custom_gradient
def convolved(inputs: tf.Tensor, kernel: tf.Tensor) -> Any:
    """Convolve images to one channel, padded to the same size, one pixel at a time.

    Args:
        inputs: float32, (batch, height, width, channels).
        kernel: float32, (rows, columns, channels, 1).
    """
    rows, columns, channels, _ = kernel.shape
    pixels = tf.reshape(inputs, (-1, channels))
    products = tf.matmul(tf.reshape(kernel, (-1, channels)), pixels, transpose_b=True)
    images = tf.reshape(products, (rows * columns, -1, *inputs.shape[1:3]))
    (above, below), (left, right) = _margins(rows), _margins(columns)
    padded = tf.pad(images, [[0, 0], [0, 0], [above, below], [left, right]])
    windows = _windows(rows, columns, inputs.shape[1:3])
    summed = tf.add_n([padded[n][window] for n, window in enumerate(windows)])

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        to_inputs = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(inputs),
            filter=kernel,
            out_backprop=upstream,
            strides=[1] * 4,
            padding="SAME",
        )
        # Shifted the other way: what came out goes back to the pixels that it came from.
        padded = tf.pad(upstream[..., 0], [[0, 0], [below, above], [right, left]])
        copies = tf.stack([padded[window] for window in reversed(windows)])
        to_kernel = tf.matmul(tf.reshape(copies, (rows * columns, -1)), pixels)
        return to_inputs, tf.reshape(to_kernel, kernel.shape)

    return summed[..., tf.newaxis], gradient


def _margins(size: int) -> tuple[int, int]:
    """Return the zeros that TensorFlow puts before and after a side of the images."""
    before = (size - 1) // 2
    return before, size - 1 - before


def _windows(rows: int, columns: int, shape: tuple[int, int]) -> list[tuple[slice, ...]]:
    """Return where a padded image is read for each number of the kernel."""
    height, width = shape
    places = [(i, j) for i in range(rows) for j in range(columns)]
    return [(slice(None), slice(i, i + height), slice(j, j + width)) for i, j in places]
