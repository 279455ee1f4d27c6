"""How Keras' optimizers apply gradients of replicas, and how variables are aggregated."""

import keras
import pytest
import tensorflow as tf

from fitx.compat.replica_averages import average_statistics


@pytest.fixture
def variable():
    return keras.Variable([1.0])


@pytest.mark.parametrize("wrap", [lambda inner: inner, keras.optimizers.LossScaleOptimizer])
def test_keras_still_applies_all_gradients_by_apply(variable, wrap):
    optimizer = wrap(keras.optimizers.SGD(1.0))
    optimizer.build([variable])
    applied = []
    optimizer.apply = lambda grads, trainable_variables=None: applied.append(list(grads))

    optimizer.apply_gradients([(tf.constant([2.0]), variable)])

    assert [grad.numpy().tolist() for grad in applied[0]] == [[2.0]]


def test_keras_still_sums_gradients_of_replicas_by_all_reduce_sum_gradients(variable):
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.build([variable])
    optimizer._all_reduce_sum_gradients = lambda pairs: [(grad * 10, v) for grad, v in pairs]

    optimizer.apply([tf.constant([2.0])], [variable])

    assert variable.numpy().tolist() == [-19.0]


def test_tensorflow_still_aggregates_a_variable_as_its_aggregation_says():
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        network = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])
    statistics = network.layers[0].moving_mean.value
    before = statistics.aggregation

    average_statistics(network)

    assert before is not tf.VariableAggregation.MEAN
    assert statistics.aggregation is tf.VariableAggregation.MEAN
