import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.registry.registries import steps

EPSILON = 0.1
X = np.random.default_rng(0).uniform(size=(40, 5)).astype("float32")
Y = (X @ [1.0, -1.0, 2.0, 0.0, 0.0] > 0.9).astype("int32")


@pytest.fixture
def adversarial(dense):
    def adversarial(network=None, **options):
        keras.utils.set_random_seed(0)
        network = network or dense(2, 5)
        step = steps.get("adversarial")(network, **{"seed": 1, "epsilon": EPSILON, **options})
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        step.compile({"model": keras.optimizers.SGD(0.5)}, loss=loss)
        return step

    return adversarial


def worst(kernel):
    """Return the inputs that are worst for a linear classifier of two classes."""
    against = np.where(Y[:, None] == 1, -1, 1) * (kernel[:, 1] - kernel[:, 0])
    return np.clip(X + EPSILON * np.sign(against), 0, 1)


def accuracy(network, x):
    return np.mean(np.argmax(np.array(network(x)), axis=1) == Y)


@pytest.mark.parametrize("count", [1, 5])
def test_attacks_find_the_worst_inputs_of_a_linear_classifier(adversarial, count):
    step = adversarial()

    attacked = np.array(step.attack(X, Y, X, count))

    assert attacked == pytest.approx(worst(step.model.get_weights()[0]), abs=1e-6)


def test_accuracy_is_that_of_clean_and_of_attacked_inputs(adversarial, moves):
    step = adversarial()
    train_step = tf.function(step.train_step)
    for _ in range(30):
        train_step((X, Y))

    values = step.test_step((X, Y))

    robust = accuracy(step.model, worst(step.model.get_weights()[0]))
    assert float(values["clean_accuracy"]) == pytest.approx(accuracy(step.model, X))
    assert float(values["robust_accuracy"]) == pytest.approx(robust)
    assert robust < accuracy(step.model, X)
    assert moves(lambda: step.test_step((X, Y)), step.model) == [False]


def test_a_step_descends_the_gradient_of_attacked_inputs_as_if_they_were_given(adversarial):
    step, clean = adversarial(steps=1), adversarial(steps=0)
    attacked = worst(step.model.get_weights()[0]).astype("float32")

    step.train_step((X, Y))
    clean.train_step((attacked, Y))

    for weights, expected in zip(step.model.get_weights(), clean.model.get_weights(), strict=True):
        assert weights == pytest.approx(expected, rel=1e-5)


def test_attacks_start_anywhere_within_epsilon_and_update_no_statistics(adversarial):
    layers = keras.layers
    network = keras.Sequential([keras.Input((5,)), layers.BatchNormalization(), layers.Dense(2)])
    step = adversarial(network, steps=3)

    noise = np.array(step._noise(X))
    before = network.layers[0].get_weights()
    step.attack(X, Y, X + noise, 3)

    assert 0.8 * EPSILON < np.abs(noise).max() <= EPSILON
    assert not np.array_equal(noise, np.array(step._noise(X)))
    for old, new in zip(before, network.layers[0].get_weights(), strict=True):
        assert np.array_equal(old, new)
