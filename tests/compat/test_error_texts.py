"""Words of Keras and TensorFlow by which fitx tells causes of errors apart."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.compat import error_texts


def raised(action):
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


def in_graph():
    def step(x, rows):
        return tf.gather(x, rows)

    return raised(lambda: tf.function(step, autograph=False)(tf.ones(3), tf.constant([7])))


def test_tensorflow_still_says_where_in_a_graph_on_lines_of_their_own():
    error = in_graph()

    assert isinstance(error, tf.errors.InvalidArgumentError)
    assert "Detected at node" in str(error)
    assert error_texts.first_line(error).startswith("indices[0] = 7 is not in [0, 3)")


def test_tensorflow_still_keeps_the_origin_of_an_operation_that_fails():
    assert not error_texts.lacks_origin(in_graph())


def test_keras_still_says_in_which_layer_an_error_was():
    class Failing(keras.layers.Layer):
        def call(self, x):
            raise ValueError("no such thing.")

    error = raised(lambda: Failing()(np.ones((2, 2))))

    assert error_texts.reason(error) == "no such thing (in Failing.call())."


@pytest.mark.parametrize(
    ("use", "wanting"),
    [
        ("bool", lambda x: 1 if x[0] > 0 else 2),
        ("iteration", lambda x: [row for row in x]),
        ("number", lambda x: float(x[0])),
        ("number", lambda x: x.numpy()),
        (None, lambda x: x + "text"),
    ],
)
def test_tensorflow_still_says_for_what_a_value_was_wanted_in_a_trace(use, wanting):
    error = raised(lambda: tf.function(wanting, autograph=False)(tf.ones(3)))

    assert error_texts.requested_python_value(error) == use


def test_keras_still_computes_metrics_and_losses_in_folders_of_these_names():
    y = np.ones((2, 3), "float32")
    loss = raised(lambda: keras.losses.MeanSquaredError()(y, y[:, :2]))
    metric = raised(lambda: keras.metrics.MeanSquaredError().update_state(y, y[:, :2]))

    assert error_texts.came_through(loss, "losses")
    assert not error_texts.came_through(loss, "metrics")
    assert error_texts.came_through(metric, "metrics")
