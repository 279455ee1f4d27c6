"""The operations and the arithmetic of a step are counted in its graph."""

import keras
import pytest
import tensorflow as tf

from fitx.engine.modes.operation_count import count_work


def graph(network, *shape):
    """Trace a network's forward pass on batches whose size is open."""
    function = tf.function(lambda x: {"y": network(x)}, autograph=False)
    return function.get_concrete_function(tf.TensorSpec((None, *shape)))


def test_a_product_counts_two_for_each_weight_and_example():
    counted = count_work(graph(keras.layers.Dense(5), 3), 8)

    assert counted.products == pytest.approx(2 * 8 * 3 * 5)
    assert (counted.convolutions, counted.loops) == (0, 0)
    assert counted.numbers == 3 * 5 + 5


def test_a_convolution_counts_two_for_each_weight_and_position():
    layer = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)

    counted = count_work(graph(layer, 6, 6, 2), 8)

    assert counted.convolutions == 2 * 8 * 6 * 6 * 3 * 3 * 2 * 4
    assert counted.products == 0


def test_what_a_loop_computes_is_counted_too():
    counted = count_work(graph(keras.layers.SimpleRNN(5), 7, 3), 8)

    assert counted.loops == 1
    assert counted.products > 0


def test_operations_are_those_that_compute():
    counted = count_work(graph(keras.layers.Identity(), 3), 8)

    assert counted.operations == 0
