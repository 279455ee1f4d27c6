"""How Keras applies gradients of replicas, aggregates variables, and reduces losses and means."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.losses import loss as keras_loss
from keras.src.metrics import reduction_metrics as keras_means

from fitx.compat.replica_means import average_statistics

ONES = np.ones((2, 1), "float32")


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


def test_keras_still_scales_losses_by_scale_loss_for_distribution(monkeypatch):
    monkeypatch.setattr(keras_loss, "scale_loss_for_distribution", lambda value: value * 10)

    assert float(keras.losses.MeanSquaredError()(ONES, 3 * ONES)) == 40
    assert float(keras.losses.MeanSquaredError(reduction="sum")(ONES, 3 * ONES)) == 8


def test_keras_still_reduces_losses_by_reduce_values(monkeypatch):
    reductions = []

    def reduce_values(values, sample_weight=None, reduction="sum_over_batch_size"):
        reductions.append(reduction)
        return keras.ops.sum(values)

    monkeypatch.setattr(keras_loss, "reduce_values", reduce_values)
    names = ["sum_over_batch_size", "sum", "mean_with_sample_weight"]
    for reduction in names:
        keras.losses.MeanSquaredError(reduction=reduction)(ONES, ONES, sample_weight=ONES)

    assert reductions == names


def test_keras_still_logs_losses_by_unscale_loss_for_distribution(monkeypatch):
    monkeypatch.setattr(keras_loss, "unscale_loss_for_distribution", lambda value: value * 10)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(3.0)])
    model.compile(loss="mse")

    assert model.test_on_batch(ONES, ONES, return_dict=True)["loss"] == pytest.approx(40)


def test_keras_still_weighs_means_by_reduce_to_samplewise_values(monkeypatch):
    original = keras_means.reduce_to_samplewise_values

    def samplewise(values, sample_weight, reduce_fn, dtype):
        return original(values, 0.5 if sample_weight is None else sample_weight, reduce_fn, dtype)

    monkeypatch.setattr(keras_means, "reduce_to_samplewise_values", samplewise)
    mean = keras.metrics.Mean()
    mean.update_state(4.0)

    assert (float(mean.total), float(mean.count)) == (2.0, 0.5)
