import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

RATE, TEMPERATURE = 0.1, 3.0
X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
Y = np.array([0, 1, 2, 3, 0, 1], np.int32)


@pytest.fixture
def distillation(dense):
    def distillation(label_share, teacher=None, *, from_logits=True):
        teacher = teacher or dense(4)
        options = {"temperature": TEMPERATURE, "label_share": label_share}
        step = steps.get("distillation")(dense(4), teacher, **options)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        step.compile({"student": keras.optimizers.SGD(RATE)}, loss=loss)
        return step

    return distillation


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_the_loss_is_that_of_softened_answers_and_of_labels(distillation):
    step = distillation(0.25)
    student, teacher = (np.array(network(X)) for network in (step.student, step.teacher))
    p, q = softmax(teacher / TEMPERATURE), softmax(student / TEMPERATURE)
    divergence = TEMPERATURE**2 * np.mean(np.sum(p * np.log(p / q), axis=1))
    label_loss = -np.mean(np.log(softmax(student)[np.arange(6), Y]))

    values = step.test_step((X, Y))

    assert float(values["loss"]) == pytest.approx(0.25 * label_loss + 0.75 * divergence, rel=1e-4)


def test_a_step_descends_the_divergence_with_the_factor_of_the_squared_temperature(distillation):
    step = distillation(0.0)
    weights, bias = step.student.get_weights()
    p, q = (softmax(np.array(n(X)) / TEMPERATURE) for n in (step.teacher, step.student))
    gradient = TEMPERATURE * (q - p) / 6

    step.train_step((X, Y))

    new_weights, new_bias = step.student.get_weights()
    assert new_weights == pytest.approx(weights - RATE * X.T @ gradient, abs=1e-5)
    assert new_bias == pytest.approx(bias - RATE * gradient.sum(axis=0), abs=1e-5)


def test_sample_weights_weigh_both_parts(distillation):
    step = distillation(0.5)
    weights = np.array([2, 0, 0, 0, 0, 0], np.float32)
    alone = float(step.test_step((X[:1], Y[:1]))["loss"])

    assert float(step.test_step((X, Y, weights))["loss"]) == pytest.approx(2 * alone / 6, rel=1e-5)


def test_the_teacher_predicts_and_stays_as_it_is(distillation, moves):
    layers = keras.layers
    teacher = keras.Sequential([keras.Input((3,)), layers.BatchNormalization()])
    teacher.add(layers.Dropout(0.9))
    teacher.add(layers.Dense(4))
    step = distillation(0.0, teacher)

    assert moves(lambda: step.train_step((X, Y)), step.student, teacher) == [True, False]
    assert moves(lambda: step.test_step((X, Y)), step.student, teacher) == [False, False]
    assert float(step.test_step((X, Y))["loss"]) == float(step.test_step((X, Y))["loss"])


def test_a_loss_of_probabilities_is_refused(distillation):
    with pytest.raises(ValueError) as caught:
        distillation(0.5, from_logits=False).train_step((X, Y))

    text = "it needs networks that return logits; add `from_logits: true` to loss."
    assert str(caught.value) == text
