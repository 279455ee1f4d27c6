import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

X = np.random.default_rng(0).random((6, 3), np.float32)
Y = X.sum(axis=1, keepdims=True)
RATE = 0.1


@pytest.fixture
def supervised(dense):
    """A step around one dense layer whose weights begin at zero."""

    def supervised(network=None, metrics=("mae",)):
        step = steps.get("supervised")(network or dense(kernel_initializer="zeros"))
        step.compile({"model": keras.optimizers.SGD(RATE)}, loss="mse", metrics=list(metrics))
        return step

    return supervised


def kernel_after_one_step(step, weights=None):
    step.train_step((X, Y) if weights is None else (X, Y, np.asarray(weights, np.float32)))
    return np.array(step.model.layers[-1].kernel)


def test_one_step_goes_down_the_gradient_of_the_loss(supervised):
    gradient = -2 * X.T @ Y / len(X)

    assert kernel_after_one_step(supervised()) == pytest.approx(-RATE * gradient, rel=1e-5)


def test_sample_weights_pull_in_proportion_and_zero_not_at_all(supervised):
    weights = np.array([2, 0, 0, 0, 0, 0], np.float32)
    gradient = -2 * (X[:1].T @ Y[:1]) * 2 / len(X)

    for shape in ((6,), (6, 1)):
        kernel = kernel_after_one_step(supervised(), weights.reshape(shape))
        assert kernel == pytest.approx(-RATE * gradient, rel=1e-5)


def test_weights_enter_the_loss_and_leave_the_metrics_alone(supervised):
    step = supervised()
    weights = np.array([3, 0, 0, 0, 0, 0], np.float32)

    values = step.test_step((X, Y, weights))

    assert float(values["loss"]) == pytest.approx(float(Y[0, 0] ** 2) * 3 / 6)
    assert float(values["mae"]) == pytest.approx(float(Y.mean()))


def test_the_loss_is_a_mean_over_examples_however_they_are_batched(supervised):
    step = supervised(metrics=())

    step.test_step((X[:4], Y[:4]))
    values = step.test_step((X[4:], Y[4:]))

    assert float(values["loss"]) == pytest.approx(float(np.mean(Y**2)))


def test_a_loss_that_is_not_reduced_to_one_number_is_refused(dense):
    step = steps.get("supervised")(dense())
    loss = keras.losses.MeanSquaredError(reduction=None)
    step.compile({"model": keras.optimizers.SGD(RATE)}, loss=loss)

    with pytest.raises(ValueError) as caught:
        step.train_step((X, Y))

    assert str(caught.value) == "minimize takes one number, not a loss of shape (6,)"


def test_regularizers_enter_the_loss_in_training_and_in_measuring(supervised, dense):
    network = dense(kernel_regularizer=keras.regularizers.L2(10.0))
    step = supervised(network, metrics=())
    penalty = 10.0 * float(np.sum(np.array(network.layers[0].kernel) ** 2))
    plain = float(np.mean((np.asarray(network(X)) - Y) ** 2))

    assert float(step.test_step((X, Y))["loss"]) == pytest.approx(plain + penalty)
    step.reset_metrics()
    assert float(step.train_step((X, Y))["loss"]) == pytest.approx(plain + penalty)


def test_measuring_changes_nothing_and_runs_the_network_as_it_predicts(supervised, moves):
    layers = keras.layers
    network = keras.Sequential(
        [keras.Input((3,)), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(1)]
    )
    step = supervised(network)
    expected = float(np.mean((np.asarray(network(X, training=False)) - Y) ** 2))

    assert moves(lambda: step.test_step((X, Y)), network) == [False]
    assert float(step.test_step((X, Y))["loss"]) == pytest.approx(expected)
