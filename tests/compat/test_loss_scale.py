"""The loss scale of float16 grows with the steps that go well, and stays finite."""

import keras
import pytest
import tensorflow as tf

from fitx.compat.loss_scale import LARGEST_SCALE, LossScaleOptimizer


@pytest.mark.parametrize("strategy", [None, "mirrored"])
def test_the_scale_of_gradients_that_stay_zero_never_becomes_infinite(strategy):
    scope = tf.distribute.MirroredStrategy(["CPU:0"]) if strategy else tf.distribute.get_strategy()
    with scope.scope():
        weight = keras.Variable([1.0, 2.0])
        growing = {"initial_scale": 2.0**97, "dynamic_growth_steps": 1}
        optimizer = LossScaleOptimizer(keras.optimizers.SGD(0.1), **growing)
        optimizer.build([weight])

    @tf.function
    def step():
        scope.run(lambda: optimizer.apply([tf.zeros(2)], [weight]))

    scales = []
    for _ in range(5):
        step()
        scales.append(float(optimizer.dynamic_scale.numpy()))

    assert scales == [2.0**98, 2.0**99, LARGEST_SCALE, LARGEST_SCALE, LARGEST_SCALE]
    assert weight.numpy().tolist() == [1.0, 2.0]


def test_keras_still_doubles_the_scale_by_stateful_handle_finite_grads():
    handled = []

    class Handling(keras.optimizers.LossScaleOptimizer):
        def _stateful_handle_finite_grads(self, grads, trainable_variables):
            handled.append(len(grads))
            super()._stateful_handle_finite_grads(grads, trainable_variables)

    weight = keras.Variable([1.0])
    optimizer = Handling(keras.optimizers.SGD(0.1), initial_scale=4.0, dynamic_growth_steps=1)
    optimizer.build([weight])
    optimizer.apply([tf.zeros(1)], [weight])

    assert handled
    assert float(optimizer.dynamic_scale.numpy()) == 8.0
