import numpy as np
import pytest

from fitx.build.output_layer import output_layer_of_loss
from fitx.data.splits import Split
from fitx.registry.kinds import Part

X = np.zeros((3, 2), np.float32)
SPARSE = "sparse_categorical_crossentropy"


def end(y, loss=None, test=None, **options):
    splits = {"train": Split(X, y)} | ({} if test is None else {"test": Split(X, test)})
    found = output_layer_of_loss(splits, Part("loss", loss, options) if loss else None)
    return found.outputs, found.activation


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_without_a_known_loss_integers_in_a_row_of_their_own_are_classes(dtype, shape):
    assert end(np.array([0, 2, 1], dtype).reshape(shape)) == (3, "softmax")


def test_without_a_known_loss_other_targets_ask_for_a_linear_answer():
    assert end(None) == (1, "linear")
    assert end(np.zeros(3)) == (1, "linear")
    assert end(np.zeros((3, 4))) == (4, "linear")
    assert end(np.eye(3, dtype=int)) == (3, "linear")
    assert end(np.array([-1, 1, 1])) == (1, "linear")
    assert end(np.array([True, False, True])) == (1, "linear")


@pytest.mark.parametrize("loss", [None, SPARSE])
def test_classes_of_all_splits_count(loss):
    assert end(np.array([0, 2, 1]), loss, test=np.array([4, 0, 0])) == (5, "softmax")


@pytest.mark.parametrize("ignored", [-1, 255])
def test_a_class_that_the_loss_ignores_has_no_output(ignored):
    assert end(np.array([0, ignored, 1]), SPARSE, ignore_class=ignored) == (2, "softmax")


def test_every_pixel_may_have_a_class():
    assert end(np.array([[[0, 3]], [[1, 1]], [[0, 2]]]), SPARSE) == (4, "softmax")


def test_a_users_step_may_make_one_hot_rows_of_classes():
    assert end(np.array([0, 2, 1]), "categorical_crossentropy") == (3, "softmax")
    assert end(np.array([0, 2, 1]), "binary_crossentropy") == (3, "sigmoid")


def test_what_a_head_says_is_plain_python():
    assert type(end(np.array([0, 2, 1], np.uint8), SPARSE)[0]) is int
