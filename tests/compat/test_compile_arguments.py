"""Where Keras keeps the loss and the metrics that a model was compiled with."""

import keras
import numpy as np

from fitx.compat.compile_arguments import compiled_loss, compiled_metrics


def test_keras_still_keeps_the_compiled_loss_and_the_compiled_metrics():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert (compiled_loss(model), compiled_metrics(model)) == (None, None)

    model.compile(loss="mse", metrics=["mae"])
    y, y_pred, weight = np.ones((3, 1)), np.zeros((3, 1)), np.array([3.0, 0.0, 0.0])

    assert float(compiled_loss(model)(y, y_pred, weight)) == 1.0
    compiled_metrics(model).update_state(y, y_pred, sample_weight=weight)
    assert {name: float(v) for name, v in compiled_metrics(model).result().items()} == {"mae": 1.0}
