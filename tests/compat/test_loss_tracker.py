"""The mean of the loss that Keras keeps among a model's metrics."""

import keras

from fitx.compat.loss_tracker import loss_tracker


def test_keras_still_lists_a_loss_tracker_among_the_metrics_of_a_compiled_model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    assert loss_tracker(model) is None

    model.compile(loss="mse", metrics=[keras.metrics.Mean("loss")])

    tracker = loss_tracker(model)
    assert tracker is model.metrics[0]
    assert (type(tracker), tracker.name) == (keras.metrics.Mean, "loss")
