import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

RATE, RHO = 0.1, 0.5
X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(6, 1)).astype("float32")


def sam(network, **options):
    step = steps.get("sam")(network, **options)
    step.compile({"model": keras.optimizers.SGD(RATE)}, loss="mse")
    return step


def gradient(kernel, bias):
    """Return the gradient of the mean squared error of a linear network."""
    error = X @ kernel + bias - Y
    return 2 * X.T @ error / 6, 2 * error.mean(axis=0)


def test_a_step_descends_the_gradient_at_the_shifted_weights(dense):
    step = sam(dense(), rho=RHO)
    kernel, bias = step.model.get_weights()
    up = gradient(kernel, bias)
    norm = np.sqrt(sum(np.sum(g**2) for g in up))
    down = gradient(kernel + RHO * up[0] / norm, bias + RHO * up[1] / norm)
    loss = np.mean((X @ kernel + bias - Y) ** 2)

    values = step.train_step((X, Y))

    new_kernel, new_bias = step.model.get_weights()
    assert new_kernel == pytest.approx(kernel - RATE * down[0], rel=1e-4)
    assert new_bias == pytest.approx(bias - RATE * down[1], rel=1e-4)
    assert np.abs(down[0] - up[0]).max() > 0.1
    assert float(values["loss"]) == pytest.approx(loss, rel=1e-5)


def test_the_gradient_zero_shifts_nothing(dense):
    step = sam(dense(kernel_initializer="zeros"))

    step.train_step((X, np.zeros((6, 1), np.float32)))

    assert np.array_equal(step.model.get_weights()[0], np.zeros((3, 1)))


def test_statistics_and_dropout_masks_are_those_of_the_first_pass():
    layers = keras.layers
    network = keras.Sequential(
        [keras.Input((3,)), layers.BatchNormalization(momentum=0.9), layers.Dropout(0.5, seed=1)]
    )
    network.add(layers.Dense(1))
    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    step = sam(network)

    step.train_step((X, Y))
    twin(X, training=True)

    for name in ("moving_mean", "moving_variance"):
        moved, once = (np.array(getattr(n.layers[0], name)) for n in (network, twin))
        assert moved == pytest.approx(once)
    drawn, once = (np.array(n.layers[1].seed_generator.state) for n in (network, twin))
    assert np.array_equal(drawn, once)


def test_evaluation_changes_nothing(dense, moves):
    step = sam(dense())
    kernel, bias = step.model.get_weights()

    assert moves(lambda: step.test_step((X, Y)), step.model) == [False]
    assert float(step.test_step((X, Y))["loss"]) == pytest.approx(
        np.mean((X @ kernel + bias - Y) ** 2), rel=1e-5
    )
