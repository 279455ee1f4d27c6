"""What a step draws under XLA is what it draws without."""

import numpy as np
import pytest
import tensorflow as tf

from fitx.compat.xla_random import as_elsewhere

SHAPE = (33, 7)


def drawn(draw, dtype="float32"):
    """Return what is drawn by itself, by XLA, and by XLA as it is drawn elsewhere."""
    kept = tf.Variable(tf.zeros(SHAPE, dtype))

    def step(data):
        kept.assign(draw(tf.shape(data[0])))
        return {"seen": data[1]}

    data = tf.zeros(SHAPE), tf.constant(1)
    graph = tf.function(step, autograph=False).get_concrete_function(data)
    found = []
    for run, xla in ((graph, None), (graph, True), (as_elsewhere(graph), True)):
        program = tf.function(
            lambda data, run=run: run(data) and None, autograph=False, jit_compile=xla
        )
        program(data)
        found.append(kept.numpy().astype("float32"))
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_uniform_numbers_are_the_same_to_the_bit(dtype):
    plain, xla, ours = drawn(
        lambda shape: tf.random.stateless_uniform(shape, (1, 2), dtype=dtype), dtype
    )

    assert np.array_equal(plain, ours)
    # The day this fails, XLA draws as TensorFlow does, and the module can go.
    assert dtype == "float16" or not np.allclose(plain, xla, atol=0.1)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_normal_numbers_are_the_same_but_for_rounding(dtype):
    plain, xla, ours = drawn(
        lambda shape: tf.random.stateless_normal(shape, (1, 2), dtype=dtype), dtype
    )

    np.testing.assert_allclose(plain, ours, rtol=1e-2 if dtype != "float32" else 1e-5, atol=1e-5)
    assert not np.allclose(plain, xla, atol=0.1)


def test_numbers_drawn_in_loops_and_functions_are_too():
    @tf.function(autograph=False)
    def helper(shape, seed):
        return tf.random.stateless_normal(shape, seed)

    def draw(shape):
        def body(i, sum):
            return i + 1, sum + helper(shape, tf.stack([i, i]))

        return tf.while_loop(lambda i, _: i < 3, body, (0, tf.zeros(SHAPE)))[1]

    plain, xla, ours = drawn(draw)

    np.testing.assert_allclose(plain, ours, rtol=1e-5, atol=1e-5)
    assert not np.allclose(plain, xla, atol=0.1)


def test_a_graph_that_draws_nothing_is_left_as_it_is():
    graph = tf.function(lambda data: data + 1).get_concrete_function(tf.zeros(3))

    assert as_elsewhere(graph) is graph
