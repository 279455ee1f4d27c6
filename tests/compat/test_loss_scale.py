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
