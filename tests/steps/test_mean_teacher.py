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
def mean_teacher(dense):
    def mean_teacher(student=None, teacher=None, stddev=0.0, **options):
        keras.utils.set_random_seed(0)
        augmenter = [keras.Input((3,)), keras.layers.GaussianNoise(stddev, seed=1)]
        networks = keras.Sequential(augmenter), student or dense(2), teacher or dense(2)
        step = steps.get("mean_teacher")(*networks, **options)
        step.compile({"student": keras.optimizers.SGD(RATE)})
        return step

    return mean_teacher


def softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def test_a_step_descends_both_losses_and_the_teacher_gets_no_gradient(mean_teacher):
    step = mean_teacher(consistency=3.0, ramp_up=0, decay=0.0)
    weights, bias = step.student.get_weights()
    rows = np.concatenate([X, UNLABELLED])
    p, target = softmax(rows @ weights + bias), softmax(np.array(step.teacher(rows)))
    label_gradient = np.concatenate([(p[:4] - np.eye(2)[Y]) / 4, np.zeros((6, 2))])
    difference = 3.0 * 2 * (p - target) / p.size
    gradient = label_gradient + p * (difference - np.sum(p * difference, axis=1, keepdims=True))

    values = step.train_step(BATCH)

    new_weights, new_bias = step.student.get_weights()
    assert new_weights == pytest.approx(weights - RATE * rows.T @ gradient, abs=1e-5)
    assert new_bias == pytest.approx(bias - RATE * gradient.sum(axis=0), abs=1e-5)
    assert float(values["loss"]) == pytest.approx(-np.mean(np.log(p[np.arange(4), Y])), rel=1e-5)
    assert float(values["consistency_loss"]) == pytest.approx(np.mean((p - target) ** 2), rel=1e-4)


def test_the_teacher_is_the_average_of_the_student_statistics_included(mean_teacher):
    def network():
        layers = [keras.Input((3,)), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
        return keras.Sequential(layers)

    step = mean_teacher(network(), network(), decay=0.7)
    average = step.teacher.get_weights()

    for n in range(1, 6):
        step.train_step(BATCH)
        decay = min(0.7, 1 - 1 / (n + 1))
        pairs = zip(average, step.student.get_weights(), strict=True)
        average = [decay * old + (1 - decay) * new for old, new in pairs]

    for weights, expected in zip(step.teacher.get_weights(), average, strict=True):
        assert weights == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("ramp_up", "step", "weight"),
    [(10, 0, 4 * np.exp(-5)), (10, 5, 4 * np.exp(-1.25)), (10, 20, 4)],
)
def test_the_weight_of_the_consistency_grows(mean_teacher, ramp_up, step, weight):
    teacher = mean_teacher(consistency=4.0, ramp_up=ramp_up)

    assert float(teacher._consistency_weight(np.float32(step))) == pytest.approx(weight)


def test_labels_of_unlabelled_examples_are_ignored(mean_teacher):
    one, other = mean_teacher(), mean_teacher()

    one.train_step(BATCH)
    other.train_step({**BATCH, "unlabelled": (UNLABELLED, np.ones(6, np.int32))})

    assert all(map(np.array_equal, one.student.get_weights(), other.student.get_weights()))


def test_student_and_teacher_see_views_of_their_own(mean_teacher, dense):
    student = dense(2)
    step = mean_teacher(student, keras.models.clone_model(student), stddev=0.5)
    step.teacher.set_weights(student.get_weights())

    assert float(step.train_step(BATCH)["consistency_loss"]) > 1e-4


def test_evaluation_measures_both_networks_and_changes_neither(mean_teacher, moves):
    step = mean_teacher(stddev=0.5)
    accuracies = [np.mean(np.argmax(n(X), axis=1) == Y) for n in (step.student, step.teacher)]

    values = step.test_step(BATCH)

    assert float(values["accuracy"]) == pytest.approx(accuracies[0])
    assert float(values["teacher_accuracy"]) == pytest.approx(accuracies[1])
    assert moves(lambda: step.test_step(BATCH), step.student, step.teacher) == [False, False]
