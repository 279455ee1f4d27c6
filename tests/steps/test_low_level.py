import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

X = np.random.default_rng(0).random((6, 3), np.float32)
Y = X.sum(axis=1, keepdims=True)


@pytest.fixture
def low_level(dense):
    step = steps.get("low_level")(dense())
    step.compile({"model": keras.optimizers.SGD(0.1)})
    return step


def test_its_own_loss_and_metric_are_all_it_logs(low_level):
    assert [metric.name for metric in low_level.metrics] == ["loss", "mae"]
    assert set(low_level.train_step((X, Y))) == set(low_level.test_step((X, Y))) == {"loss", "mae"}


def test_its_loss_is_the_squared_error_and_its_metric_the_absolute_one(low_level):
    error = np.asarray(low_level.model(X)) - Y

    values = low_level.test_step((X, Y))

    assert float(values["loss"]) == pytest.approx(float(np.mean(error**2)))
    assert float(values["mae"]) == pytest.approx(float(np.mean(np.abs(error))))


def test_training_moves_the_network_and_measuring_does_not(low_level, moves):
    assert moves(lambda: low_level.test_step((X, Y)), low_level.model) == [False]
    assert moves(lambda: low_level.train_step((X, Y)), low_level.model) == [True]


def test_a_new_epoch_begins_at_nothing(low_level):
    low_level.train_step((X, Y))
    low_level.reset_metrics()

    assert [float(metric.result()) for metric in low_level.metrics] == [0.0, 0.0]
