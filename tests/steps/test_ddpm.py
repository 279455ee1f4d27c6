import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.registry.registries import steps

TIMES = 50
SIGNAL = np.cumprod(1 - np.linspace(1e-4, 0.02, TIMES) * 1000 / TIMES)
"""The share of the image in the variance of a noisy image, by time."""

IMAGE = np.array([[0.9, 0.1], [0.3, 0.6]], np.float32)[..., None]
X = np.tile(IMAGE, (6, 1, 1, 1))


def tiny():
    """Return a network of two layers, one for the image and one for the time."""
    image, time = keras.Input((2, 2, 1)), keras.Input((1,))
    shift = keras.layers.Reshape((1, 1, 1))(keras.layers.Dense(1)(time))
    return keras.Model([image, time], keras.layers.Conv2D(1, 1)(image) + shift)


@pytest.fixture
def ddpm():
    def ddpm(learning_rate=0.1, **options):
        keras.utils.set_random_seed(0)
        model, average = tiny(), tiny()
        average.set_weights(model.get_weights())
        step = steps.get("ddpm")(model, average, seed=1, timesteps=TIMES, **options)
        step.compile({"model": keras.optimizers.SGD(learning_rate)})
        return step

    return ddpm


def denoiser(mean, deviation):
    """Return the best estimate of the noise in images with normally distributed values."""

    def network(inputs, training):
        noisy, time = inputs
        index = tf.cast(tf.round(time[:, 0] * TIMES), tf.int32) - 1
        signal = tf.reshape(tf.gather(SIGNAL.astype(np.float32), index), (-1, 1, 1, 1))
        variance = signal * deviation**2 + 1 - signal
        return tf.sqrt(1 - signal) * (noisy - tf.sqrt(signal) * mean) / variance

    return network


def test_the_noise_of_known_images_is_found_exactly(ddpm):
    step = ddpm()
    step.average = denoiser(2 * IMAGE - 1, 0.0)

    assert float(step.test_step((X, np.zeros(6)))["loss"]) == pytest.approx(0, abs=1e-6)

    step.average = lambda inputs, training: tf.zeros_like(inputs[0])
    large = np.zeros((500, 2, 2, 1), np.float32)
    assert float(step.test_step(large)["loss"]) == pytest.approx(1, abs=0.1)


def test_images_that_are_all_the_same_are_drawn_so(ddpm):
    step = ddpm()
    step.average = denoiser(2 * IMAGE - 1, 0.0)

    images = tf.function(step.sample_images)(tf.constant(X), 0)

    np.testing.assert_allclose(images, X, atol=1e-4)


def deviation_of_samples(deviation):
    """Return that of values drawn by equation 11 of the paper, for data of that deviation."""
    variance, signals = 1.0, [1.0, *SIGNAL]
    for earlier, signal in zip(signals[-2::-1], signals[:0:-1], strict=True):
        beta = 1 - signal / earlier
        scale = (1 - beta / (signal * deviation**2 + 1 - signal)) / np.sqrt(1 - beta)
        variance = scale**2 * variance + beta * (1 - earlier) / (1 - signal)
    return np.sqrt(variance)


def test_drawn_images_vary_as_the_data_do(ddpm):
    step = ddpm()
    step.average = denoiser(np.float32(0.2), 0.3)
    examples = tf.zeros((500, 2, 2, 1))

    images, again, other = (
        2 * np.array(tf.function(step.sample_images)(examples, seed)) - 1 for seed in (0, 0, 1)
    )

    assert images.mean() == pytest.approx(0.2, abs=0.03)
    assert images.std() == pytest.approx(deviation_of_samples(0.3), rel=0.05)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, other)


def test_the_average_follows_the_weights(ddpm):
    step = ddpm(decay=0.2)
    expected = step.model.get_weights()
    for number in (1, 2, 3):
        step.train_step(X)
        decay = min(0.2, (1 + number) / (10 + number))
        expected = [
            decay * average + (1 - decay) * weight
            for average, weight in zip(expected, step.model.get_weights(), strict=True)
        ]

    for average, weight in zip(step.average.get_weights(), expected, strict=True):
        np.testing.assert_allclose(average, weight, rtol=1e-5, atol=1e-7)


def test_evaluation_measures_the_average_and_moves_nothing(ddpm, moves):
    step = ddpm()
    before = float(step.test_step(X)["loss"])
    step.model.set_weights([weight + 1 for weight in step.model.get_weights()])

    assert float(step.test_step(X)["loss"]) == before
    assert not any(moves(lambda: step.test_step(X), step.model, step.average))


def test_each_step_of_training_draws_new_times_and_noise(ddpm):
    step = ddpm(learning_rate=0.0)

    assert float(step.train_step(X)["loss"]) != float(step.train_step(X)["loss"])
