"""The functions by which Keras draws random numbers, which replicas replace."""

import keras
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow import random as keras_random

DRAWS = {
    "normal": lambda seed: keras.random.normal((2,), seed=seed),
    "truncated_normal": lambda seed: keras.random.truncated_normal((2,), seed=seed),
    "uniform": lambda seed: keras.random.uniform((2,), seed=seed),
    "randint": lambda seed: keras.random.randint((2,), 0, 9, seed=seed),
    "categorical": lambda seed: keras.random.categorical(tf.ones((1, 3)), 2, seed=seed),
    "shuffle": lambda seed: keras.random.shuffle(tf.range(9), seed=seed),
    "gamma": lambda seed: keras.random.gamma((2,), 1.0, seed=seed),
    "beta": lambda seed: keras.random.beta((2,), 1.0, 1.0, seed=seed),
    "binomial": lambda seed: keras.random.binomial((2,), 4.0, 0.5, seed=seed),
    "dropout": lambda seed: keras.random.dropout(tf.ones((2,)), 0.5, seed=seed),
    "GaussianNoise": lambda seed: keras.layers.GaussianNoise(1.0, seed=3)(
        tf.ones((2, 2)), training=True
    ),
}


@pytest.mark.parametrize("name", DRAWS)
def test_keras_still_draws_every_random_number_by_draw_seed(monkeypatch, name):
    original, drawn = keras_random.draw_seed, []
    monkeypatch.setattr(
        keras_random, "draw_seed", lambda seed: drawn.append(original(seed)) or drawn[-1]
    )

    DRAWS[name](keras.random.SeedGenerator(3))

    assert drawn
    assert all(seed.shape == (2,) for seed in drawn)


def test_keras_still_drops_by_the_dropout_of_its_backend(monkeypatch):
    monkeypatch.setattr(
        keras_random, "dropout", lambda inputs, rate, noise_shape=None, seed=None: inputs * 7
    )

    dropped = keras.layers.Dropout(0.5)(tf.ones((2, 2)), training=True)

    assert dropped.numpy().tolist() == [[7, 7], [7, 7]]
