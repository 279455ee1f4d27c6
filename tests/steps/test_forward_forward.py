import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.registry.registries import steps

RATE, CLASSES = 0.1, 3
X = np.random.default_rng(0).uniform(size=(30, 6)).astype("float32")
Y = np.argmax(X[:, 3:], axis=1).astype("int32")


@pytest.fixture
def forward_forward():
    def forward_forward(units=(5, 4), optimizer=None):
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(n, "relu", bias_initializer="ones") for n in units]
        between = [keras.layers.UnitNormalization() for _ in units]
        stack = [layer for pair in zip(layers, between, strict=True) for layer in pair][:-1]
        network = keras.Sequential([keras.Input((6,)), *stack])
        step = steps.get("forward_forward")(network, classes=CLASSES, seed=1)
        step.compile({"model": optimizer or keras.optimizers.SGD(RATE)})
        return step

    return forward_forward


def labelled(labels):
    return np.hstack([np.eye(CLASSES)[labels], X[:, CLASSES:]])


def softplus(values):
    return np.log1p(np.exp(values))


def layer_outputs(weights, x):
    """Return the outputs of both layers; the second reads directions alone."""
    first = np.maximum(x @ weights[0] + weights[1], 0)
    directions = first / np.linalg.norm(first, axis=1, keepdims=True)
    return first, np.maximum(directions @ weights[2] + weights[3], 0)


def losses(weights, other_y):
    """Return the loss of each layer."""
    rights = layer_outputs(weights, labelled(Y))
    wrongs = layer_outputs(weights, labelled(other_y))
    return [
        np.mean(softplus(1 - np.mean(r**2, axis=1)) + softplus(np.mean(w**2, axis=1) - 1))
        for r, w in zip(rights, wrongs, strict=True)
    ]


def test_each_layer_descends_the_gradient_of_its_own_loss(forward_forward, monkeypatch):
    step = forward_forward()
    other_y = (Y + 1) % CLASSES
    monkeypatch.setattr(step, "_negative_labels", lambda y: other_y)
    weights = [w.astype("float64") for w in step.model.get_weights()]
    shift, gradients = 1e-6, [np.zeros_like(w) for w in weights]
    for number, gradient in enumerate(gradients):
        for index in np.ndindex(gradient.shape):
            for sign in (1, -1):
                moved = [w.copy() for w in weights]
                moved[number][index] += sign * shift
                # Weights of the first layer change the loss of the second too, and must not.
                gradient[index] += sign * losses(moved, other_y)[number // 2] / (2 * shift)

    values = step.train_step((X, Y))

    assert float(values["loss"]) == pytest.approx(sum(losses(weights, other_y)), rel=1e-5)
    for new, old, gradient in zip(step.model.get_weights(), weights, gradients, strict=True):
        assert new == pytest.approx(old - RATE * gradient, abs=1e-5)


def test_negative_labels_are_all_of_the_other_classes_and_change(forward_forward):
    step, y = forward_forward(), tf.constant([0, 1, 2] * 40)

    first, second = (np.array(step._negative_labels(y)) for _ in range(2))

    assert not np.any(first == y)
    assert {(int(a), int(b)) for a, b in zip(y, first, strict=True)} == {
        (a, b) for a in range(3) for b in range(3) if a != b
    }
    assert not np.array_equal(first, second)


def test_the_answer_is_the_label_of_the_largest_goodness(forward_forward, moves):
    step = forward_forward()
    sums = [
        sum(np.mean(output**2, axis=1) for output in layer_outputs(weights, labelled(label)))
        for weights in [step.model.get_weights()]
        for label in (np.full(30, n) for n in range(CLASSES))
    ]
    accuracy = np.mean(np.argmax(sums, axis=0) == Y)

    assert float(step.test_step((X, Y))["accuracy"]) == pytest.approx(accuracy)
    assert moves(lambda: step.test_step((X, Y)), step.model) == [False]


def test_training_learns_the_labels(forward_forward):
    step = forward_forward((32, 32), keras.optimizers.Adam(0.02))
    train_step = tf.function(step.train_step)

    for _ in range(80):
        values = train_step((X, Y))

    assert float(values["accuracy"]) > 0.85
