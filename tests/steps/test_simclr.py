import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

TEMPERATURE = 0.5
X = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
Y = np.array([0, 1, 0, 1, 1], np.int32)


@pytest.fixture
def simclr(dense):
    def simclr(stddev=0.3, rate=0.1):
        keras.utils.set_random_seed(0)
        augmenter = keras.Sequential(
            [keras.Input((3,)), keras.layers.GaussianNoise(stddev, seed=1)]
        )
        probe = dense(2, 4, activation="softmax")
        networks = augmenter, dense(4), dense(2, 4), probe
        step = steps.get("simclr")(*networks, temperature=TEMPERATURE)
        optimizers = dict.fromkeys(["encoder", "projector"], rate)
        step.compile({n: keras.optimizers.SGD(r) for n, r in {**optimizers, "probe": 0.1}.items()})
        return step

    return simclr


def nt_xent(first, second):
    """Return the mean loss, pair by pair, as the paper's equation 1."""
    vectors = np.concatenate([first, second])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    count, losses = len(vectors), []
    for i in range(count):
        twin = (i + count // 2) % count
        exponentials = {j: np.exp(vectors[i] @ vectors[j] / TEMPERATURE) for j in range(count)}
        others = sum(value for j, value in exponentials.items() if j != i)
        losses.append(-np.log(exponentials[twin] / others))
    return np.mean(losses)


def test_the_loss_is_that_of_the_paper(simclr):
    step = simclr()
    first, second = X, X + 0.1

    values = step.compare(first, second, training=False)

    projected = [np.array(step.projector(step.encoder(view))) for view in (first, second)]
    assert float(values["encoder_loss"]) == pytest.approx(nt_xent(*projected), rel=1e-5)


def test_the_gradient_of_the_probe_ends_at_the_features(simclr, moves):
    step = simclr(rate=0.0)
    networks = step.encoder, step.projector, step.probe

    assert moves(lambda: step.train_step((X, Y)), *networks) == [False, False, True]


def test_views_differ_in_training_and_are_the_same_in_every_evaluation(simclr, moves):
    step = simclr(rate=0.0)

    trained = [float(step.train_step((X, Y))["encoder_loss"]) for _ in range(2)]
    tested = [float(step.test_step((X, Y))["encoder_loss"]) for _ in range(2)]

    assert trained[0] != trained[1]
    assert tested[0] == tested[1] == float(simclr().test_step((X, Y))["encoder_loss"])
    assert moves(lambda: step.test_step((X, Y)), step.encoder, step.probe) == [False, False]


def test_without_augmentation_the_views_are_equal(simclr):
    step = simclr(stddev=0.0)
    projected = np.array(step.projector(step.encoder(X)))

    loss = float(step.test_step((X, Y))["encoder_loss"])

    assert loss == pytest.approx(nt_xent(projected, projected), rel=1e-5)
