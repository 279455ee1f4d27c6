import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.registry.registries import steps

RATE = 0.1
FIRST = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
SECOND = np.random.default_rng(1).normal(size=(6, 3)).astype("float32")
Y = np.zeros(6, np.int32)


@pytest.fixture
def simsiam(dense):
    """A step whose encoder and projector return what they get."""
    same = keras.layers.Activation("linear")
    augmenter = keras.Sequential([keras.Input((3,)), keras.layers.GaussianNoise(0.1, seed=1)])
    projector = keras.Sequential([keras.Input((3,)), same])
    encoder, predictor = dense(3, use_bias=False, kernel_initializer="identity"), dense(3)
    probe = dense(2, activation="softmax")
    step = steps.get("simsiam")(augmenter, encoder, projector, predictor, probe)
    names = "encoder", "predictor", "probe"
    step.compile({name: keras.optimizers.SGD(RATE) for name in names})
    return step


def directions(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cosines(step, view, kernel, target):
    weights, bias = step.predictor.get_weights()
    return np.mean(np.sum(directions(view @ kernel @ weights + bias) * directions(target), axis=1))


def test_the_loss_is_the_mean_negative_cosine_of_both_predictions(simsiam):
    kernel = np.eye(3)
    both = cosines(simsiam, FIRST, kernel, SECOND) + cosines(simsiam, SECOND, kernel, FIRST)

    values = simsiam.compare(FIRST, SECOND, training=False)

    assert float(values["encoder_loss"]) == pytest.approx(-both / 2, rel=1e-5)


def test_the_encoder_gets_no_gradient_through_the_predicted_vectors(simsiam):
    # Finite differences, in which the predicted vectors stay as they are.
    expected, shift = np.zeros((3, 3)), 1e-5
    for index in np.ndindex(3, 3):
        for sign in (1, -1):
            kernel = np.eye(3)
            kernel[index] += sign * shift
            both = cosines(simsiam, FIRST, kernel, SECOND) + cosines(simsiam, SECOND, kernel, FIRST)
            expected[index] -= sign * both / 2 / (2 * shift)

    with tf.GradientTape() as tape:
        loss = simsiam.compare(FIRST, SECOND, training=True)["encoder_loss"]
    gradient = tape.gradient(loss, simsiam.encoder.trainable_variables[0])

    assert np.array(gradient) == pytest.approx(expected, abs=1e-5)
    assert np.abs(expected).max() > 0.05


def test_spread_is_0_for_equal_vectors_and_near_1_for_vectors_in_all_directions(simsiam):
    equal = np.ones((6, 3), np.float32)
    spread = simsiam.compare(FIRST, SECOND, training=False)["spread"]
    variances = np.var(directions(FIRST), axis=0)

    assert float(simsiam.compare(equal, equal, training=False)["spread"]) < 1e-6
    assert float(spread) == pytest.approx(np.sqrt(np.sum(variances)), rel=1e-5)
    assert 0.8 < float(spread) <= 1


def test_a_step_trains_all_three_networks_and_evaluation_none(simsiam, moves):
    networks = simsiam.encoder, simsiam.predictor, simsiam.probe

    assert moves(lambda: simsiam.test_step((FIRST, Y)), *networks) == [False] * 3
    assert moves(lambda: simsiam.train_step((FIRST, Y)), *networks) == [True] * 3
