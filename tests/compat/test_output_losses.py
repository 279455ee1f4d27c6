import keras
import numpy as np
import pytest

from fitx.compat.compile_arguments import compiled_loss
from fitx.compat.output_losses import count_rows

Y = {"a": np.zeros((4, 1), np.float32), "b": np.ones((4, 1), np.float32)}


def compiled():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss={"a": "mse", "b": "mae"})
    return compiled_loss(model)


def test_keras_still_logs_the_loss_of_each_output_by_metrics_of_the_compiled_loss():
    loss = compiled()
    loss(Y, {name: y + 2 for name, y in Y.items()})
    assert [mean.name for mean in loss.metrics] == ["a_loss", "b_loss"]
    assert [float(mean.result()) for mean in loss.metrics] == [4.0, 2.0]


def test_each_batch_counts_by_its_rows():
    loss = compiled()
    count_rows(loss)
    count_rows(loss)
    for rows, error in ((4, 1), (1, 6)):
        y = {name: y[:rows] for name, y in Y.items()}
        loss(y, {name: y + error for name, y in y.items()})
    means = [float(mean.result()) for mean in loss.metrics]
    assert means == pytest.approx([(4 * 1 + 36) / 5, (4 * 1 + 6) / 5])
