import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

RATE = 0.5
X = np.random.default_rng(0).random((6, 3), np.float32)
Y = np.array([0, 1, 1, 0, 1, 0], np.int32)


def mixup(network, **options):
    step = steps.get("mixup")(network, **{"seed": 1, **options})
    step.compile(
        {"model": keras.optimizers.SGD(RATE)},
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["sparse_categorical_accuracy"],
    )
    return step


def test_one_step_goes_down_the_gradient_of_softmax_regression_on_mixtures(dense, monkeypatch):
    step = mixup(dense(2, kernel_initializer="zeros"))
    share = np.array([1.0, 0.75, 0.5, 0.25, 0.0, 0.1], np.float32)
    monkeypatch.setattr(step, "_shares", lambda rows: share)
    following = np.roll(np.arange(6), -1)
    x = share[:, None] * X + (1 - share[:, None]) * X[following]
    y = share[:, None] * np.eye(2)[Y] + (1 - share[:, None]) * np.eye(2)[Y[following]]

    values = step.train_step((X, Y))

    assert np.array(step.model.layers[-1].kernel) == pytest.approx(
        -RATE * x.T @ (0.5 - y) / 6, rel=1e-4, abs=1e-6
    )
    assert float(values["loss"]) == pytest.approx(np.log(2))


def test_labels_are_weighted_by_their_own_examples_and_regularizers_count_once(dense, monkeypatch):
    step = mixup(
        dense(2, kernel_initializer="ones", bias_regularizer="l2", bias_initializer="ones")
    )
    monkeypatch.setattr(step, "_shares", lambda rows: np.array([0.25, 0.5], np.float32))
    # Both classes have the same logit, so that every label's loss is log(2); the penalty is 0.02.
    expected = np.log(2) * (0.25 * 4 + 0.75 * 2 + 0.5 * 2 + 0.5 * 4) / 2 + 0.02

    values = step.train_step((X[:2], Y[:2], np.array([4, 2], np.float32)))

    assert float(values["loss"]) == pytest.approx(expected)


def test_metrics_compare_with_the_label_of_the_larger_share(dense, monkeypatch):
    step = mixup(dense(2, bias_initializer=lambda shape, dtype: np.array([9.0, 0.0], dtype)))
    monkeypatch.setattr(step, "_shares", lambda rows: np.array([0.4, 0.6], np.float32))

    values = step.train_step((X[:2], np.array([0, 1])))

    # The partner's label of both examples' larger share is 1, and the network answers 0.
    assert float(values["sparse_categorical_accuracy"]) == 0.0


@pytest.mark.parametrize("alpha", [0.02, 0.4, 3.0])
def test_shares_have_the_moments_of_the_beta_distribution(dense, alpha):
    shares = np.array(mixup(dense(2), alpha=alpha)._shares(20_000))

    assert np.all((shares >= 0) & (shares <= 1))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    assert np.var(shares) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.04)


def test_evaluation_does_not_mix_and_changes_nothing(dense, moves):
    step = mixup(dense(2))
    logits = np.array(step.model(X))
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(6), Y])

    assert moves(lambda: step.test_step((X, Y)), step.model) == [False]
    assert float(step.test_step((X, Y))["loss"]) == pytest.approx(expected, rel=1e-5)
