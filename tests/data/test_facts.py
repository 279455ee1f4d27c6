import numpy as np
import pytest

from fitx.data.facts import facts
from fitx.data.splits import Split

X = np.zeros((3, 8, 8, 1), np.float32)


def of(y, **others):
    return facts({"train": Split(X, y), **others})


def answer(y, **others):
    found = of(y, **others)
    return found["outputs"], found["output_activation"]


def test_shapes_are_those_of_one_row():
    found = of(np.array([0, 2, 1]))
    assert found["input_shape"] == found["image_shape"] == (8, 8, 1)
    assert facts({"train": Split(np.zeros(3))})["input_shape"] == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_class_labels_ask_for_softmax(dtype, shape):
    assert answer(np.array([0, 2, 1], dtype).reshape(shape)) == (3, "softmax")


def test_classes_of_all_splits_count():
    assert answer(np.array([0, 2, 1]), test=Split(X, np.array([4, 0, 0]))) == (5, "softmax")


def test_other_targets_ask_for_a_linear_answer():
    assert answer(np.zeros(3)) == (1, "linear")
    assert answer(np.zeros((3, 1))) == (1, "linear")
    assert answer(np.zeros((3, 4))) == (4, "linear")
    assert answer(np.eye(3, dtype=int)) == (3, "linear")
    assert answer(np.array([-1, 1, 1])) == (1, "linear")
    assert answer(np.array([True, False, True])) == (1, "linear")


def test_without_targets_the_answer_is_one_number():
    assert answer(None) == (1, "linear")


def test_facts_are_plain_python():
    found = of(np.array([0, 2, 1], np.uint8))
    assert type(found["outputs"]) is int
    assert all(type(side) is int for side in found["input_shape"])
