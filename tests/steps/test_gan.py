import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

REAL = np.random.default_rng(0).random((5, 3), np.float32)


@pytest.fixture
def gan(dense):
    """A GAN on rows of three numbers, drawn from four; learning rates by network."""

    def gan(discriminator=0.1, generator=0.1, **options):
        keras.utils.set_random_seed(0)
        options = {"seed": 1, **options}
        step = steps.get("gan")(dense(), dense(3, 4, activation="sigmoid"), **options)
        rates = {"discriminator": discriminator, "generator": generator}
        step.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
        return step

    return gan


def losses(values):
    return [float(values["d_loss"]), float(values["g_loss"])]


def test_the_update_of_the_generator_leaves_the_discriminator_untouched(gan, moves):
    step = gan(discriminator=0.0)
    networks = step.discriminator, step.generator

    assert moves(lambda: step.train_step(REAL), *networks) == [False, True]


def test_the_update_of_the_discriminator_leaves_the_generator_untouched(gan, moves):
    step = gan(generator=0.0)
    networks = step.discriminator, step.generator

    assert moves(lambda: step.train_step(REAL), *networks) == [True, False]


def test_the_discriminator_learns_to_tell_and_the_generator_to_fool(gan):
    telling, fooling = gan(generator=0.0), gan(discriminator=0.0)

    dark = 0.1 * REAL  # Drawn samples begin half bright, so that there is something to tell.
    told = [losses(telling.train_step(dark))[0] for _ in range(60)]
    fooled = [losses(fooling.train_step(dark))[1] for _ in range(60)]

    assert np.mean(told[-10:]) < np.mean(told[:10])
    assert np.mean(fooled[-10:]) < np.mean(fooled[:10])


def test_generated_samples_are_labelled_one_and_real_ones_zero(gan):
    samples, labels = gan()._mixed(REAL)

    assert np.array_equal(labels, [[1.0]] * 5 + [[0.0]] * 5)
    assert np.array_equal(samples[5:], REAL)


def test_noise_raises_labels_in_training_only(gan):
    clean, noisy = gan(label_noise=0.0), gan(label_noise=0.9)

    assert losses(clean.train_step(REAL))[0] != losses(noisy.train_step(REAL))[0]
    assert losses(gan(label_noise=0.0).test_step(REAL)) == losses(
        gan(label_noise=0.9).test_step(REAL)
    )


def test_everything_random_follows_from_the_seed(gan):
    first, again, other = gan(), gan(), gan(seed=2)

    values = [losses(step.train_step(REAL)) for step in (first, again, other)]

    assert values[0] == values[1] != values[2]
    assert losses(first.train_step(REAL)) != values[0]


def test_measuring_moves_nothing_and_knows_batches_with_labels(gan, moves):
    step = gan()

    assert not any(moves(lambda: step.test_step(REAL), step.discriminator, step.generator))
    assert losses(gan().test_step((REAL, np.zeros(5)))) == losses(gan().test_step(REAL))
    assert losses(gan().train_step((REAL,))) == losses(gan().train_step(REAL))


def test_latent_vectors_have_the_size_that_the_generator_takes(gan):
    step = gan()

    assert step.latent_dim == 4
    assert step._latent(REAL).shape == (5, 4)
