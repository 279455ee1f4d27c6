import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

REAL = np.random.default_rng(0).random((4, 2, 2, 1), np.float32)
Y = np.array([2, 0, 1, 2])
BY_CLASS = np.array([0.5, -1.0, 2.0])
"""The weights of the discriminator for the three classes."""


def networks():
    """Return a discriminator that sees classes alone and a generator that draws the class."""
    judge = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
    discriminator = keras.Sequential([keras.Input((2, 2, 1 + 3)), *judge])
    discriminator.layers[-1].kernel.assign(np.concatenate([[0.0], BY_CLASS])[:, None])
    draw = [keras.layers.Dense(4), keras.layers.Reshape((2, 2, 1))]
    generator = keras.Sequential([keras.Input((5 + 3,)), *draw])
    kernel = np.zeros((8, 4))
    kernel[5:] = np.arange(3)[:, None]
    generator.layers[0].kernel.assign(kernel)
    return discriminator, generator


@pytest.fixture
def cgan():
    def cgan(discriminator=0.0, generator=0.0):
        step = steps.get("conditional_gan")(*networks(), seed=1)
        rates = {"discriminator": discriminator, "generator": generator}
        step.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
        return step

    return cgan


def test_the_losses_are_those_of_the_classes_in_the_batch(cgan):
    values = cgan().test_step((REAL, Y, np.ones(4)))

    logits = BY_CLASS[Y]
    real, fake = np.log1p(np.exp(-logits)).mean(), np.log1p(np.exp(logits)).mean()
    assert float(values["d_loss"]) == pytest.approx((real + fake) / 2, rel=1e-5)
    assert float(values["g_loss"]) == pytest.approx(real, rel=1e-5)


def test_labels_in_a_column_count_the_same(cgan):
    flat, column = (cgan().test_step((REAL, y)) for y in (Y, Y[:, None]))

    assert float(flat["d_loss"]) == float(column["d_loss"])


def test_the_generator_is_given_the_classes_that_it_is_judged_by(cgan):
    step, seen = cgan(), []
    discriminator = step.discriminator
    step.discriminator = lambda x, training: seen.append(np.array(x)) or discriminator(x)

    step.train_step((REAL, Y))

    both, fake = seen
    expected = np.tile(np.eye(3)[Y][:, None, None], (1, 2, 2, 1))
    assert np.array_equal(both[:4, ..., :1], REAL)
    assert np.array_equal(both[..., 1:], np.concatenate([expected, expected]))
    assert np.array_equal(fake[..., 1:], expected)
    drawn = np.tile(Y[:, None, None, None], (1, 2, 2, 1))  # This generator draws its class.
    np.testing.assert_allclose(both[4:, ..., :1], drawn)
    np.testing.assert_allclose(fake[..., :1], drawn)


def test_each_update_leaves_the_other_network_untouched(cgan, moves):
    cases = ({"discriminator": 0.1}, [True, False]), ({"generator": 0.1}, [False, True])
    for rates, expected in cases:
        step = cgan(**rates)
        step.discriminator.layers[-1].kernel.assign(np.ones((4, 1)))
        parts = step.discriminator, step.generator
        assert moves(lambda step=step: step.train_step((REAL, Y)), *parts) == expected
        assert moves(lambda step=step: step.test_step((REAL, Y)), *parts) == [False, False]


def test_images_are_drawn_of_each_class_in_turn(cgan):
    images = cgan().sample_images(np.zeros((4, 2, 2, 1)), 0)

    np.testing.assert_allclose(images[:, 0, 0, 0], [0, 1, 2, 0])


def test_networks_without_room_for_a_class_are_refused(dense):
    with pytest.raises(ValueError) as caught:
        steps.get("conditional_gan")(dense(), dense(3, 4), seed=1)

    assert str(caught.value) == (
        "the discriminator takes 3 channels, the generator takes 4 numbers and draws 3 channels; "
        "expected channels + classes, and latent numbers + classes."
    )
