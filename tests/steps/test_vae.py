import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.registry.registries import steps

X = np.random.default_rng(0).random((4, 3), np.float32)
MEAN = np.array([0.5, -1.0])
LOG_VARIANCE = np.array([0.2, -0.7])


@pytest.fixture
def vae(dense):
    """A VAE whose encoder and decoder ignore their inputs: their biases are the outputs."""

    def vae(bias=0.0, **options):
        encoder = dense(4, kernel_initializer="zeros")
        encoder.layers[0].bias.assign(np.concatenate([MEAN, LOG_VARIANCE]))
        decoder = dense(3, 2, activation="sigmoid", kernel_initializer="zeros")
        decoder.layers[0].bias.assign(np.full(3, bias))
        step = steps.get("vae")(encoder, decoder, seed=1, **options)
        step.compile({name: keras.optimizers.SGD(0.1) for name in ("encoder", "decoder")})
        return step

    return vae


def numbers(values):
    return {name: float(value) for name, value in values.items()}


def test_the_losses_are_those_of_the_formulas(vae):
    values = numbers(vae(bias=0.3, beta=2.0).test_step((X, np.zeros(4))))

    p = 1 / (1 + np.exp(-0.3))
    cross_entropy = -(X * np.log(p) + (1 - X) * np.log(1 - p)).sum(axis=1).mean()
    variance = np.exp(LOG_VARIANCE)
    kl = np.sum(np.log(1 / np.sqrt(variance)) + (variance + MEAN**2) / 2 - 0.5)
    assert values["reconstruction_loss"] == pytest.approx(cross_entropy, rel=1e-5)
    assert values["kl_loss"] == pytest.approx(kl, rel=1e-5)
    assert values["loss"] == pytest.approx(cross_entropy + 2 * kl, rel=1e-5)


def test_latent_vectors_have_the_mean_and_variance_of_the_encoder(vae):
    step = vae()
    seen = []
    decoder = step.decoder
    step.decoder = lambda latent, training: seen.append(latent) or decoder(latent)

    step.test_step(np.zeros((20_000, 3), np.float32))

    (latent,) = (np.array(value) for value in seen)
    np.testing.assert_allclose(latent.mean(axis=0), MEAN, atol=0.03)
    np.testing.assert_allclose(latent.var(axis=0), np.exp(LOG_VARIANCE), rtol=0.05)


def test_the_gradient_of_the_divergence_reaches_the_encoder(vae):
    step = vae()

    step.train_step(X)

    # The decoder ignores the latent vector, so the encoder sees the divergence alone.
    slope = np.concatenate([MEAN, (np.exp(LOG_VARIANCE) - 1) / 2])
    bias = step.encoder.layers[0].bias.numpy()
    expected = np.concatenate([MEAN, LOG_VARIANCE]) - 0.1 * slope
    np.testing.assert_allclose(bias, expected, rtol=1e-5)


def test_the_gradient_of_the_reconstruction_passes_through_the_noise(vae):
    step = vae(beta=0.0)
    step.decoder.layers[0].kernel.assign(np.ones((2, 3)))
    before = step.encoder.layers[0].bias.numpy()

    step.train_step(X)

    assert (step.encoder.layers[0].bias.numpy() != before).all()


def test_evaluation_repeats_its_noise_and_training_does_not(vae, moves):
    step = vae()
    step.decoder.layers[0].kernel.assign(np.ones((2, 3)))
    measured = [numbers(step.test_step(X)) for _ in range(2)]

    assert measured[0] == measured[1]
    assert not any(moves(lambda: step.test_step(X), step.encoder, step.decoder))
    step.compile({})
    trained = [numbers(step.train_step(tf.constant(X))) for _ in range(2)]
    assert trained[0]["loss"] != trained[1]["loss"]
