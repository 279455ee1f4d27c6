import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.registry.registries import steps

MARGIN = 0.5
X = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")
Y = np.array([0, 1, 2, 0, 1, 0, 1, 0, 3], np.int32)
"""Labels 2 and 3 have one example each, which has no positive."""


@pytest.fixture
def triplet():
    """A step whose network returns its input, or what a layer makes of it."""

    def triplet(layer=None, margin=MARGIN):
        layer = layer or keras.layers.Activation("linear")
        step = steps.get("triplet")(keras.Sequential([keras.Input((3,)), layer]), margin=margin)
        step.compile({"encoder": keras.optimizers.SGD(0.1)})
        return step

    return triplet


def hardest(x, y):
    """Return the loss and the recall, pair by pair."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    losses, hits = [], []
    for i in range(len(x)):
        others = [j for j in range(len(x)) if j != i]
        distance = {j: np.linalg.norm(x[i] - x[j]) for j in others}
        positives = [distance[j] for j in others if y[j] == y[i]]
        negatives = [distance[j] for j in others if y[j] != y[i]]
        hits.append(y[min(others, key=distance.get)] == y[i])
        if positives and negatives:
            losses.append(max(0.0, MARGIN + max(positives) - min(negatives)))
    return np.mean(losses) if losses else 0.0, np.mean(hits)


def test_the_loss_is_that_of_the_hardest_triplet_of_each_example(triplet):
    loss, recall = hardest(X, Y)

    values = triplet().test_step((X, Y))

    assert float(values["loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(values["recall_at_1"]) == pytest.approx(recall)
    assert 0 < recall < 1


def test_without_triplets_the_loss_is_0(triplet):
    step = triplet()

    assert float(step.test_step((X, np.arange(9)))["loss"]) == 0.0
    assert float(step.test_step((X, np.zeros(9, np.int32)))["loss"]) == 0.0


def test_equal_examples_have_a_finite_gradient(triplet, moves):
    step = triplet(keras.layers.Dense(2))
    equal = np.ones((4, 3), np.float32)

    step.train_step((equal, np.array([0, 0, 1, 1])))

    assert all(np.isfinite(w).all() for w in step.encoder.get_weights())


def test_training_gathers_labels_that_a_random_embedding_mixes(triplet, moves):
    x = np.random.default_rng(1).normal(size=(64, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int32") + 2 * (x[:, 1] > 0)
    keras.utils.set_random_seed(0)
    step = triplet(keras.layers.Dense(2, activation="tanh"))
    step.compile({"encoder": keras.optimizers.Adam(0.05)})

    train_step = tf.function(step.train_step)
    before = step.test_step((x, y))
    for _ in range(60):
        train_step((x, y))
    after = step.test_step((x, y))

    assert moves(lambda: step.test_step((x, y)), step.encoder) == [False]
    assert float(after["recall_at_1"]) > float(before["recall_at_1"]) + 0.1
