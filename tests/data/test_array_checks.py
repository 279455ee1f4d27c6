import numpy as np
import pytest

from fitx.data.array_checks import validate
from fitx.data.splits import Split
from fitx.errors import DataError

X = np.zeros((4, 2), np.float32)
Y = np.array([0, 1, 1, 0])


def problems(splits):
    with pytest.raises(DataError) as caught:
        validate(splits, "npz 'a.npz'")
    return str(caught.value)


def one(**arrays):
    return problems({"train": Split(**{"x": X, "y": Y} | arrays)})


def with_value(value, dtype=np.float32):
    x = np.zeros((4, 2), dtype)
    x[2, 1] = x[3, 0] = value
    return x


def test_good_data_passes():
    weight = np.array([[0.0], [1], [2], [3]])
    train = Split(X, Y, weight)
    validate({"train": train, "validation": train, "test": Split(X[:1], Y[:1], weight[1:2])}, "")
    validate({"train": Split(X.astype(np.uint8))}, "")
    validate({"train": Split(X > 0)}, "")
    validate({"train": Split(np.arange(4))}, "")


def test_nan_and_infinity_are_counted_and_located():
    assert one(x=with_value(np.nan)) == (
        "npz 'a.npz': train.x: 2 values are NaN, infinite or beyond float32, of 8; "
        "the first is nan at [2, 1]. Remove or replace such values."
    )
    assert "the first is -inf at [2, 1]" in one(x=with_value(-np.inf))
    assert "train.y: 1 value is NaN, infinite or beyond float32, of 4; the first is nan at [3]" in (
        one(y=np.array([1, 2, 3, np.nan]))
    )


def test_what_does_not_fit_into_float32_is_found():
    assert "the first is 1e+39 at [2, 1]" in one(x=with_value(1e39, np.float64))
    assert "the first is nan at [2, 1]" in one(x=with_value(np.nan, np.float64))
    validate({"train": Split(with_value(3e38, np.float64))}, "")


def test_bad_values_are_found_in_every_block(monkeypatch):
    monkeypatch.setattr("fitx.data.array_checks._BLOCK", 3)
    assert "2 values are NaN, infinite or beyond float32, of 8; the first is nan at [2, 1]" in (
        one(x=with_value(np.nan))
    )


def test_zero_rows_are_refused():
    assert problems({"train": Split(X[:0])}) == (
        "npz 'a.npz': train.x has no rows; expected at least one."
    )


def test_rows_without_values_are_refused():
    assert problems({"train": Split(X[:, :0])}) == (
        "npz 'a.npz': train.x has rows without values: its shape is (4, 0)."
    )


def test_a_single_number_is_no_array_of_rows():
    assert problems({"train": Split(np.array(1.0))}) == (
        "npz 'a.npz': train.x is a single number; expected one entry per row."
    )


def test_what_is_no_array_is_refused():
    assert problems({"train": Split([[1.0]])}) == (
        "npz 'a.npz': train.x is a list; expected a numpy array."
    )


def test_arrays_of_a_structure_are_named_by_their_place():
    x = {"image": X, "age": [Y, with_value(np.nan)]}
    assert one(x=x) == (
        "npz 'a.npz': train.x['age'][1]: 2 values are NaN, infinite or beyond float32, of 8; the "
        "first is nan at [2, 1]. Remove or replace such values."
    )
    assert one(x={"image": X, "age": Y[:3]}, y=(Y, Y)) == (
        "npz 'a.npz': train: the numbers of rows differ: x['age'] has 3, x['image'] has 4, "
        "y[0] has 4, y[1] has 4."
    )
    assert one(x={"image": X, "age": [1, 2]}) == (
        "npz 'a.npz': train.x['age'] is a list; expected a numpy array."
    )
    assert "train.x[1] is None; expected" in one(x=(X, None))
    assert "train.x is a dict with keys that are no strings" in one(x={1: X})
    weight = {"a": np.ones(4), "b": -np.ones(4)}
    assert "train.sample_weight['b'] is negative" in one(y={"a": Y, "b": Y}, sample_weight=weight)


def test_splits_must_have_the_same_structure():
    train, test = Split({"a": X, "b": X}, Y), Split({"a": X}, Y)
    assert problems({"train": train, "test": test}) == (
        "npz 'a.npz': test holds x['a'], and train x['a'], x['b']; give every split the same "
        "arrays."
    )
    validate({"train": train, "test": Split({"b": X[:1], "a": X[:1]}, Y[:1])}, "")


@pytest.mark.parametrize(
    ("values", "dtype"), [(["a"], "<U1"), ([None], "object"), ([1j], "complex128")]
)
def test_what_is_no_number_is_refused(values, dtype):
    assert problems({"train": Split(np.array(values))}) == (
        f"npz 'a.npz': train.x has dtype {dtype}; expected numbers (float, int, uint8 or bool)."
    )


def test_different_lengths_are_refused():
    assert one(y=Y[:3], sample_weight=np.ones(2)) == (
        "npz 'a.npz': train: the numbers of rows differ: x has 4, y has 3, sample_weight has 2."
    )


def test_negative_weights_are_refused():
    assert one(sample_weight=np.array([[1.0], [1], [-1], [-1]])) == (
        "npz 'a.npz': train.sample_weight is negative, first in row 2; expected 0 or more."
    )


def test_weights_that_are_all_zero_are_refused():
    assert one(sample_weight=np.zeros(4)) == (
        "npz 'a.npz': train.sample_weight is 0 in every row; nothing would be learned."
    )


def test_weights_without_targets_are_refused():
    assert problems({"train": Split(X, None, np.ones(4))}) == (
        "npz 'a.npz': train has sample_weight but no y; weights need targets."
    )


def test_splits_must_be_shaped_alike():
    test = Split(np.zeros((4, 3)), np.zeros((4, 1)))
    assert problems({"train": Split(X, Y), "test": test}) == (
        "npz 'a.npz': test.x: a row has shape (3,), in train it is (2,).\n"
        "npz 'a.npz': test.y: a row has shape (1,), in train it is ().\n"
        "2 problems."
    )


def test_splits_must_have_the_same_arrays():
    assert problems({"train": Split(X, Y), "test": Split(X)}) == (
        "npz 'a.npz': test has no y, but train has; give it to both or to none."
    )
    assert "train has no y, but test has" in problems({"train": Split(X), "test": Split(X, Y)})


def test_weights_may_be_for_training_alone():
    validate({"train": Split(X, Y, np.ones(4)), "test": Split(X, Y)}, "")


def test_names_of_splits_are_checked():
    assert problems({"valid": Split(X)}) == (
        "npz 'a.npz': there is no 'train' split, only valid.\n"
        "npz 'a.npz': split 'valid' is unknown; the splits are train, validation, test.\n"
        "2 problems."
    )
    assert problems({}) == "npz 'a.npz': there is no 'train' split, only nothing."


def test_every_problem_is_named_at_once():
    text = problems({"train": Split(with_value(np.nan), Y[:3]), "test": Split(X[:0], Y[:0])})
    assert [line.split(": ")[1] for line in text.splitlines()[:-1]] == [
        "train.x",
        "train",
        "test.x has no rows; expected at least one.",
        "test.y has no rows; expected at least one.",
    ]
    assert text.endswith("\n4 problems.")
