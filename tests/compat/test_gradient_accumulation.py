"""The count of gradients that an optimizer has accumulated."""

import keras
import pytest
import tensorflow as tf

from fitx.compat.gradient_accumulation import unapplied


@pytest.mark.parametrize("wrap", [lambda inner: inner, keras.optimizers.LossScaleOptimizer])
def test_keras_still_counts_gradients_that_are_not_applied_yet(wrap):
    variable = keras.Variable([1.0])
    optimizer = wrap(keras.optimizers.SGD(1.0, gradient_accumulation_steps=3))
    optimizer.build([variable])
    counts = []
    for _ in range(4):
        optimizer.apply([tf.constant([2.0])], [variable])
        counts.append((unapplied(optimizer), int(optimizer.iterations)))

    assert [count for count, _ in counts] == [1, 2, 0, 1]


def test_an_optimizer_that_does_not_accumulate_has_applied_all():
    assert unapplied(keras.optimizers.SGD()) == 0
