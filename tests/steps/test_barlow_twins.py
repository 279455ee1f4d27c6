import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.registry.registries import steps

WEIGHT = 0.05
FIRST = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
SECOND = (FIRST + np.random.default_rng(1).normal(size=(20, 3))).astype("float32")
Y = np.zeros(20, np.int32)


@pytest.fixture
def barlow_twins(dense):
    """A step whose projector returns what the encoder returns."""

    def barlow_twins(units=4):
        augmenter = keras.Sequential([keras.Input((3,)), keras.layers.GaussianNoise(0.3, seed=1)])
        same = keras.Sequential([keras.Input((units,)), keras.layers.Activation("linear")])
        networks = augmenter, dense(units), same, dense(2, units, activation="softmax")
        step = steps.get("barlow_twins")(*networks, redundancy_weight=WEIGHT)
        step.compile({name: keras.optimizers.Adam(0.05) for name in ("encoder", "probe")})
        return step

    return barlow_twins


def test_the_loss_is_that_of_the_correlations_of_numpy(barlow_twins):
    step = barlow_twins()
    vectors = [np.array(step.encoder(view)) for view in (FIRST, SECOND)]
    correlations = np.corrcoef(*vectors, rowvar=False)[:4, 4:]
    agreement = np.sum((1 - np.diag(correlations)) ** 2)
    redundancy = np.sum(correlations**2) - np.sum(np.diag(correlations) ** 2)

    values = step.compare(FIRST, SECOND, training=False)

    assert float(values["encoder_loss"]) == pytest.approx(agreement + WEIGHT * redundancy, rel=1e-4)


def test_constant_vectors_have_a_finite_loss(barlow_twins):
    equal = np.ones((5, 3), np.float32)

    loss = float(barlow_twins().compare(equal, equal, training=False)["encoder_loss"])

    # No dimension correlates with any, so that each of the four terms (1 - 0)^2 is 1.
    assert loss == pytest.approx(4.0, abs=1e-3)


def test_training_removes_the_redundancy_of_two_equal_dimensions(barlow_twins, moves):
    step = barlow_twins(2)
    column = np.array([[1.0], [0.5], [-0.5]])
    step.encoder.set_weights([np.hstack([column, column + [[0.01], [0], [0]]]), np.zeros(2)])
    train_step = tf.function(step.train_step)

    for _ in range(150):
        train_step((FIRST, Y))

    features = np.array(step.encoder(FIRST))
    assert abs(np.corrcoef(features, rowvar=False)[0, 1]) < 0.5
    assert moves(lambda: step.test_step((FIRST, Y)), step.encoder, step.probe) == [False, False]
