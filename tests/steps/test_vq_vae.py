import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

X = np.array([[0.9, 0.1], [0.2, 0.7], [0.8, 0.3]], np.float32)
CODES = np.array([[1.0, 0.0], [0.0, 0.5], [5.0, 5.0]], np.float32)
NEAREST = np.array([0, 1, 0])
DECODER = np.array([[1.0, 0.5], [-0.5, 2.0]], np.float32)


@pytest.fixture
def vq_vae(dense):
    """A VQ-VAE whose encoder returns what it gets, with three codes, trained by SGD of rate 1."""

    def vq_vae(**options):
        encoder, decoder = dense(2, 2, use_bias=False), dense(2, 2, use_bias=False)
        encoder.layers[0].kernel.assign(np.eye(2))
        decoder.layers[0].kernel.assign(DECODER)
        codebook = keras.Sequential([keras.Input(()), keras.layers.Embedding(3, 2)])
        codebook.layers[0].embeddings.assign(CODES)
        step = steps.get("vq_vae")(encoder, codebook, decoder, **options)
        names = "encoder", "codebook", "decoder"
        step.compile({name: keras.optimizers.SGD(1.0) for name in names})
        return step

    return vq_vae


def numbers(values):
    return {name: float(value) for name, value in values.items()}


def test_the_losses_are_those_of_the_nearest_codes(vq_vae):
    values = numbers(vq_vae(commitment=0.5).test_step((X, np.zeros(3))))

    codes = CODES[NEAREST]
    reconstruction, code = ((codes @ DECODER - X) ** 2).mean(), ((codes - X) ** 2).mean()
    assert values["reconstruction_loss"] == pytest.approx(reconstruction, rel=1e-5)
    assert values["code_loss"] == pytest.approx(code, rel=1e-5)
    assert values["loss"] == pytest.approx(reconstruction + 1.5 * code, rel=1e-5)


def test_gradients_pass_straight_through_and_codes_move_to_their_vectors(vq_vae):
    step = vq_vae(commitment=0.5)

    step.train_step(X)

    codes = CODES[NEAREST]
    # Slopes of means over six numbers; the encoder gets the decoder's as if it fed it directly.
    of_output = 2 * (codes @ DECODER - X) / 6
    of_vectors = of_output @ DECODER.T + 0.5 * 2 * (X - codes) / 6
    of_codes = np.zeros((3, 2))
    np.add.at(of_codes, NEAREST, 2 * (codes - X) / 6)
    for network, start, slope in (
        (step.decoder, DECODER, codes.T @ of_output),
        (step.encoder, np.eye(2), X.T @ of_vectors),
        (step.codebook, CODES, of_codes),
    ):
        np.testing.assert_allclose(network.get_weights()[0], start - slope, rtol=1e-5, atol=1e-6)


def test_perplexity_counts_the_codes_of_all_batches_since_the_reset(vq_vae, moves):
    step = vq_vae()
    networks = step.encoder, step.codebook, step.decoder

    assert not any(moves(lambda: step.test_step(X), *networks))
    values = numbers(step.test_step(np.array([[0.0, 0.6]], np.float32)))
    # Two vectors of each of the first two codes; one batch alone has fewer.
    assert values["perplexity"] == pytest.approx(2)

    step.reset_metrics()
    values = numbers(step.test_step(np.array([[4.0, 4.0]], np.float32)))
    assert values["perplexity"] == pytest.approx(1)


def test_examples_are_drawn_beside_their_reconstructions():
    flat, image = keras.layers.Flatten, keras.layers.Reshape((2, 2, 1))
    encoder = keras.Sequential([keras.Input((2, 2, 1)), flatten := flat()])
    codebook = keras.Sequential([keras.Input(()), keras.layers.Embedding(2, 4)])
    codebook.layers[0].embeddings.assign([[0.0] * 4, [1.0] * 4])
    step = steps.get("vq_vae")(encoder, codebook, keras.Sequential([keras.Input((4,)), image]))
    assert flatten.built

    images = step.sample_images(np.full((3, 2, 2, 1), 0.9, np.float32), 0)

    np.testing.assert_allclose(images[..., 0], np.tile([[0.9, 0.9, 1, 1]] * 2, (3, 1, 1)))


def test_a_codebook_of_another_size_is_refused(dense):
    codebook = keras.Sequential([keras.Input(()), keras.layers.Embedding(3, 5)])
    with pytest.raises(ValueError) as caught:
        steps.get("vq_vae")(dense(2), codebook, dense(3, 2))

    assert str(caught.value) == (
        "the variables of the codebook have the shapes [(3, 5)] and the encoder returns vectors of "
        "size 2; expected one embedding of that size."
    )
