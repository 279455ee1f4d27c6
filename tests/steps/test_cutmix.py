import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

ROWS = 64


@pytest.fixture
def cutmix():
    network = keras.Sequential([keras.Input((4, 6, 1)), keras.layers.Flatten()])
    network.add(keras.layers.Dense(ROWS, kernel_initializer="zeros"))
    step = steps.get("cutmix")(network, seed=1)
    step.compile(
        {"model": keras.optimizers.SGD(1.0)},
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return step


@pytest.fixture
def images():
    """Images whose pixels all hold the image's number."""
    return (
        np.ones((ROWS, 4, 6, 1), np.float32)
        * np.arange(ROWS, dtype=np.float32)[:, None, None, None]
    )


def test_shares_are_those_of_the_pixels_and_boxes_are_rectangles(cutmix, images):
    mixed, share = map(np.array, cutmix.mixtures(images))
    kept = mixed == images

    assert share == pytest.approx(kept.mean(axis=(1, 2, 3)))
    assert np.array_equal(mixed[~kept], np.roll(images, -1, axis=0)[~kept])
    for box in ~kept[..., 0]:
        assert np.array_equal(box, np.outer(box.any(axis=1), box.any(axis=0)))
    # Without cut-off edges the mean would be 0.5.
    assert 0.5 < share.mean() < 0.8
    assert len(set(share)) > 10


def test_the_gradient_is_that_of_both_labels_by_their_shares(cutmix, images):
    shares = np.array(cutmix.mixtures(images)[1])
    cutmix.seed_generator.state.assign([1, 0])
    labels = np.diag(shares) + np.roll(np.diag(1 - shares), 1, axis=1)

    cutmix.train_step((images, np.arange(ROWS)))

    bias = np.array(cutmix.model.layers[-1].bias)
    assert bias == pytest.approx((labels - 1 / ROWS).mean(axis=0), abs=1e-6)


def test_boxes_differ_from_step_to_step_and_evaluation_has_none(cutmix, images, moves):
    first, second = (np.array(cutmix.mixtures(images)[1]) for _ in range(2))

    assert not np.array_equal(first, second)
    assert moves(lambda: cutmix.test_step((images, np.arange(ROWS))), cutmix.model) == [False]
    logits = np.array(cutmix.model(images))
    assert float(cutmix.test_step((images, np.arange(ROWS)))["loss"]) == pytest.approx(
        np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)), rel=1e-5
    )
