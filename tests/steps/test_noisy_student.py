import keras
import numpy as np
import pytest

from fitx.registry.registries import steps

RATE = 0.5
X = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
Y = np.array([0, 1, 1, 0], np.int32)
UNLABELLED = np.random.default_rng(1).normal(size=(6, 3)).astype("float32")
BATCH = {"labelled": (X, Y), "unlabelled": UNLABELLED}


@pytest.fixture
def noisy_student(dense):
    def noisy_student(teacher=None, stddev=0.0, **options):
        keras.utils.set_random_seed(0)
        augmenter = [keras.Input((3,)), keras.layers.GaussianNoise(stddev, seed=1)]
        networks = keras.Sequential(augmenter), dense(2), teacher or dense(2)
        step = steps.get("noisy_student")(*networks, **options)
        step.compile({"student": keras.optimizers.SGD(RATE)})
        return step

    return noisy_student


def softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_a_step_descends_the_mean_over_labels_and_confident_answers(noisy_student):
    step = noisy_student(confidence=0.7)
    weights, bias = step.student.get_weights()
    answers = softmax(np.array(step.teacher(UNLABELLED)))
    is_used = answers.max(axis=1) >= 0.7
    rows = np.concatenate([X, UNLABELLED[is_used]])
    labels = np.concatenate([np.eye(2)[Y], answers[is_used]])
    p = softmax(rows @ weights + bias)

    values = step.train_step(BATCH)

    assert 0 < is_used.sum() < 6
    assert float(values["confident_share"]) == pytest.approx(is_used.mean())
    loss = -np.mean(np.sum(labels * np.log(p), axis=1))
    assert float(values["loss"]) == pytest.approx(loss, rel=1e-5)
    new_weights, new_bias = step.student.get_weights()
    gradient = (p - labels) / len(rows)
    assert new_weights == pytest.approx(weights - RATE * rows.T @ gradient, abs=1e-5)
    assert new_bias == pytest.approx(bias - RATE * gradient.sum(axis=0), abs=1e-5)


def test_the_teacher_answers_without_noise_and_stays_as_it_is(noisy_student, moves):
    layers = keras.layers
    stack = [keras.Input((3,)), layers.BatchNormalization(), layers.Dropout(0.9), layers.Dense(2)]
    step = noisy_student(keras.Sequential(stack), stddev=0.5, confidence=0.6)
    expected = np.mean(softmax(np.array(step.teacher(UNLABELLED))).max(axis=1) >= 0.6)

    assert moves(lambda: step.train_step(BATCH), step.student, step.teacher) == [True, False]
    assert float(step.train_step(BATCH)["confident_share"]) == pytest.approx(expected)


def test_labels_of_unlabelled_examples_are_ignored_and_the_student_sees_noise(noisy_student):
    one, other, noisy = noisy_student(), noisy_student(), noisy_student(stddev=0.5)

    one.train_step(BATCH)
    other.train_step({**BATCH, "unlabelled": (UNLABELLED, np.ones(6, np.int32))})
    noisy.train_step(BATCH)

    kernels = [step.student.get_weights()[0] for step in (one, other, noisy)]
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


def test_evaluation_measures_the_student_on_labels_and_changes_nothing(noisy_student, moves):
    step = noisy_student(stddev=0.5)
    p = softmax(np.array(step.student(X)))

    values = step.test_step(BATCH)

    assert float(values["loss"]) == pytest.approx(-np.mean(np.log(p[np.arange(4), Y])), rel=1e-5)
    assert float(values["accuracy"]) == pytest.approx(np.mean(np.argmax(p, axis=1) == Y))
    assert moves(lambda: step.test_step(BATCH), step.student, step.teacher) == [False, False]
