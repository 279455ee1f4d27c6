"""The functions by which Keras reduces losses and means, which replicas replace."""

import keras
import numpy as np
import pytest
from keras.src.losses import loss as keras_loss
from keras.src.metrics import reduction_metrics as keras_means

ONES = np.ones((2, 1), "float32")


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
