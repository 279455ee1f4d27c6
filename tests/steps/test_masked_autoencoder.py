import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

X = np.random.default_rng(0).random((3, 4, 6, 2), np.float32)
COUNT, VALUES, VISIBLE = 6, 8, 2
"""Patches of an image, values in a patch of 2x2, visible patches at a mask ratio of 0.6."""

PATCHES = np.stack(
    [X[:, i : i + 2, j : j + 2].reshape(3, VALUES) for i in (0, 2) for j in (0, 2, 4)], axis=1
)


@pytest.fixture
def mae():
    """A masked autoencoder of two dense layers; the decoder draws 0.25 everywhere."""

    def mae(decoder=None, learning_rate=0.0, **options):
        keras.utils.set_random_seed(0)
        dense = keras.layers.Dense
        encoder = keras.Sequential([keras.Input((None, VALUES + COUNT)), dense(3)])
        if decoder is None:
            decoder = keras.Sequential([keras.Input((None, 3 + 1 + COUNT)), dense(VALUES)])
            decoder.layers[0].set_weights([np.zeros((10, VALUES)), np.full(VALUES, 0.25)])
        options = {"patch": 2, "mask_ratio": 0.6, **options}
        step = steps.get("masked_autoencoder")(encoder, decoder, seed=1, **options)
        rates = {"encoder": learning_rate, "decoder": learning_rate}
        step.compile({name: keras.optimizers.SGD(rate) for name, rate in rates.items()})
        return step

    return mae


def watched(step):
    """Record the inputs of the step's networks, and let them go on as before."""
    seen = {}
    for name in ("encoder", "decoder"):
        network = getattr(step, name)

        def recording(x, training, name=name, network=network):
            seen[name] = np.array(x)
            return network(x, training=training)

        setattr(step, name, recording)
    return seen


def test_the_loss_is_that_of_the_masked_patches_alone(mae):
    step = mae()
    seen = watched(step)

    loss = float(step.test_step((X, np.zeros(3)))["loss"])

    visible = seen["encoder"][..., VALUES:].argmax(axis=-1)
    errors = ((PATCHES - 0.25) ** 2).mean(axis=-1)
    masked = [np.delete(errors[row], visible[row]) for row in range(3)]
    assert [len(row) for row in masked] == [COUNT - VISIBLE] * 3
    assert loss == pytest.approx(np.mean(masked), rel=1e-5)


def test_the_encoder_sees_the_visible_patches_and_their_positions(mae):
    step = mae()
    seen = watched(step)
    step.test_step(X)

    tokens = seen["encoder"]
    visible = tokens[..., VALUES:].argmax(axis=-1)
    assert tokens.shape == (3, VISIBLE, VALUES + COUNT)
    assert np.array_equal(tokens[..., VALUES:], np.eye(COUNT)[visible])
    expected = np.take_along_axis(PATCHES, visible[..., None], axis=1)
    assert np.array_equal(tokens[..., :VALUES], expected)


def test_the_decoder_gets_each_vector_at_the_place_of_its_patch(mae):
    step = mae()
    encode = step.encoder
    seen = watched(step)
    step.test_step(X)

    inputs, tokens = seen["decoder"], seen["encoder"]
    visible = tokens[..., VALUES:].argmax(axis=-1)
    encoded = np.zeros((3, COUNT, 3), np.float32)
    np.put_along_axis(encoded, visible[..., None], np.array(encode(tokens)), axis=1)
    is_masked = np.ones((3, COUNT, 1))
    np.put_along_axis(is_masked, visible[..., None], 0, axis=1)
    np.testing.assert_allclose(inputs[..., :3], encoded, rtol=1e-5)
    assert np.array_equal(inputs[..., 3:4], is_masked)
    assert np.array_equal(inputs[..., 4:], np.tile(np.eye(COUNT), (3, 1, 1)))


def test_masks_are_new_in_each_step_and_the_same_in_each_evaluation(mae):
    step = mae()
    seen = watched(step)
    positions = []
    for call in (step.train_step, step.train_step, step.test_step, step.test_step):
        call(X)
        positions.append(seen["encoder"][..., VALUES:].tolist())

    assert positions[0] != positions[1]
    assert positions[2] == positions[3]


def test_both_networks_learn_in_training_alone(mae, moves):
    # A masked patch is drawn from the vectors of other positions.
    layers = keras.layers
    mixing = [layers.Flatten(), layers.Dense(COUNT * VALUES), layers.Reshape((COUNT, VALUES))]
    step = mae(keras.Sequential([keras.Input((COUNT, 10)), *mixing]), learning_rate=0.1)

    assert moves(lambda: step.test_step(X), step.encoder, step.decoder) == [False, False]
    assert moves(lambda: step.train_step(X), step.encoder, step.decoder) == [True, True]


@pytest.mark.parametrize(("ratio", "visible"), [(0.01, COUNT - 1), (0.5, 3), (0.99, 1)])
def test_at_least_one_patch_is_visible_and_one_masked(mae, ratio, visible):
    step = mae(mask_ratio=ratio)
    seen = watched(step)
    step.test_step(X)

    assert seen["encoder"].shape[1] == visible


def test_examples_are_drawn_with_masks_and_completed(mae):
    image, masked, completed = np.split(np.array(mae().sample_images(X, 0)), 3, axis=2)

    np.testing.assert_allclose(image, X)
    is_masked = masked != X
    assert is_masked.mean() == pytest.approx(1 - VISIBLE / COUNT)
    np.testing.assert_allclose(masked[is_masked], 0.5)
    np.testing.assert_allclose(completed, np.where(is_masked, 0.25, X))


def test_patches_that_do_not_fill_the_image_are_refused(mae):
    with pytest.raises(ValueError) as caught:
        mae(patch=4).test_step(X)
    assert str(caught.value) == "patches of 4x4 do not fill images of 4x6"
