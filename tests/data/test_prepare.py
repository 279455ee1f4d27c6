import numpy as np
import pytest

from fitx.data.prepare import ALIGNMENT, prepare
from fitx.data.splits import Split
from fitx.errors import DataError
from fitx.experiment.schema import DataOptions

X = np.arange(20.0).reshape(10, 2)
Y = np.array([0, 0, 0, 0, 0, 0, 0, 2, 2, 1])


def ready(split=None, /, others=None, **options):
    return prepare(
        {"train": split or Split(X, Y), **(others or {})}, DataOptions(**options), seed=0
    )


def refusal(split=None, /, others=None, **options):
    with pytest.raises(DataError) as caught:
        ready(split, others, **options)
    return str(caught.value)


def test_options_reach_the_data():
    data = ready(batch_size=3, shuffle=False, drop_remainder=True)
    assert (data.batch_size, data.shuffle, data.seed, data.drop_remainder) == (3, False, 0, True)


def test_defaults_are_those_of_keras():
    data = ready()
    assert (data.batch_size, data.shuffle, data.drop_remainder) == (32, True, False)
    assert list(data.splits) == ["train"]


def test_wide_floats_become_float32_and_integers_stay():
    split = ready(Split(X, Y.astype(np.uint8), np.ones(10))).splits["train"]
    assert split.x.dtype == split.sample_weight.dtype == np.float32
    assert split.y.dtype == np.uint8
    assert (split.x == X).all()
    assert ready(Split(X.astype(np.float16))).splits["train"].x.dtype == np.float16
    assert ready(Split(X.astype(np.longdouble))).splits["train"].x.dtype == np.float32


def test_arrays_are_as_tensorflow_reads_them_without_a_copy():
    strange = [X.astype(">f8"), np.asfortranarray(X), X[:, ::-1], X[1:].astype(np.float32)]
    for x in [*strange, np.broadcast_to(np.float32(1), (10, 2)), np.arange(10, dtype=">i4")]:
        ours = ready(Split(x)).splits["train"].x
        assert ours.flags.c_contiguous
        assert ours.flags.writeable
        assert ours.dtype.isnative
        assert ours.ctypes.data % ALIGNMENT == 0
        assert (ours == x).all()


def test_arrays_that_lie_well_are_not_copied():
    x = ready().splits["train"].x
    assert ready(Split(x)).splits["train"].x is x


def test_steps_count_the_last_short_batch():
    data = ready(None, {"test": Split(X, Y)}, batch_size=4)
    assert (data.steps("train"), data.steps("test")) == (3, 3)
    data = ready(None, {"test": Split(X, Y)}, batch_size=4, drop_remainder=True)
    assert (data.steps("train"), data.steps("test")) == (2, 3)
    assert ready(batch_size=100).steps("train") == 1


def test_no_whole_batch_is_refused():
    data = ready(batch_size=11, drop_remainder=True)
    with pytest.raises(DataError) as caught:
        data.steps("train")
    assert str(caught.value) == (
        "train has 10 rows, fewer than one batch of 11, and data.drop_remainder leaves out short "
        "batches; lower data.batch_size."
    )


def test_steps_of_a_split_that_is_not_there_are_refused():
    with pytest.raises(DataError) as caught:
        ready(None, {"validation": Split(X, Y)}).steps("test")
    assert str(caught.value) == "the data has no 'test' split; it has train, validation."


def test_the_last_rows_are_held_out_for_validation():
    data = ready(Split(X, Y, np.arange(10.0)), {"test": Split(X, Y, X)}, validation_split=0.25)
    train, validation = data.splits["train"], data.splits["validation"]
    assert list(data.splits) == ["train", "validation", "test"]
    # Keras keeps floor(10 * 0.75) = 7 rows.
    assert (train.x == X[:7]).all()
    assert (validation.x == X[7:]).all()
    assert (validation.y == Y[7:]).all()
    assert (validation.sample_weight == [7, 8, 9]).all()


def test_two_validation_splits_are_refused():
    assert refusal(None, {"validation": Split(X, Y)}, validation_split=0.5) == (
        "data.validation_split is 0.5, but the dataset has a validation split of 10 rows; leave "
        "validation_split out to use that one."
    )


@pytest.mark.parametrize(("fraction", "kept", "held"), [(0.99, 0, 10), (1e-20, 10, 0)])
def test_an_empty_side_is_refused(fraction, kept, held):
    assert refusal(validation_split=fraction) == (
        f"data.validation_split is {fraction} of 10 training rows, which leaves {kept} to train "
        f"on and {held} to validate on; both need one."
    )


def test_join_trains_on_all_rows():
    data = ready(Split(X, Y, Y + 1), {"test": Split(X[:2] + 100, Y[:2], Y[:2])}, join=True)
    assert list(data.splits) == ["train"]
    assert (data.splits["train"].x == np.concatenate([X, X[:2] + 100])).all()
    assert len(data.splits["train"].y) == len(data.splits["train"].sample_weight) == 12
    assert data.steps("train") == 1


def test_join_comes_before_holding_out():
    data = ready(None, {"validation": Split(X, Y)}, join=True, validation_split=0.5)
    assert len(data.splits["train"]) == len(data.splits["validation"]) == 10


def test_without_labels_only_x_is_left():
    data = ready(Split(X, Y, np.ones(10)), {"test": Split(X, Y, np.ones(10))}, labels=False)
    assert [list(split.arrays()) for split in data.splits.values()] == [["x"], ["x"]]


def test_class_weight_becomes_the_weight_of_training_rows_only():
    data = ready(None, {"test": Split(X, Y)}, class_weight={2: 0.5, 1: 3})
    assert data.splits["train"].sample_weight.tolist() == [1] * 7 + [0.5, 0.5, 3]
    assert data.splits["train"].sample_weight.dtype == np.float32
    assert data.splits["test"].sample_weight is None


def test_held_out_rows_have_no_class_weight():
    data = ready(class_weight={0: 0.5}, validation_split=0.2)
    assert data.splits["train"].sample_weight.tolist() == [0.5] * 7 + [1]
    assert data.splits["validation"].sample_weight is None


@pytest.mark.parametrize("shape", [(10,), (10, 1)])
def test_class_weight_multiplies_the_datasets_own_weights(shape):
    split = Split(X, Y.reshape(shape), np.arange(10.0).reshape(shape))
    weight = ready(split, class_weight={0: 2, 1: 0}).splits["train"].sample_weight
    assert weight.shape == shape
    assert weight.reshape(-1).tolist() == [0, 2, 4, 6, 8, 10, 12, 7, 8, 0]


def test_class_weight_of_an_absent_class_is_refused():
    assert refusal(class_weight={0: 2, 7: 1, 3: 1}) == (
        "data.class_weight names 3, 7, which no training row is labelled with; the labels are 3 "
        "classes from 0 to 2."
    )


@pytest.mark.parametrize("y", [Y.astype(float), Y[:, None], np.eye(3)[Y], np.eye(3, dtype=int)[Y]])
def test_class_weight_takes_whole_numbers_and_one_hot_rows_as_keras_does(y):
    weight = ready(Split(X, y), class_weight={2: 0.5, 1: 3}).splits["train"].sample_weight
    assert weight.tolist() == [1] * 7 + [0.5, 0.5, 3]


@pytest.mark.parametrize("y", [Y + 0.5, np.ones((10, 2)), np.zeros((10, 2, 1))])
def test_class_weight_needs_class_labels(y):
    assert refusal(Split(X, y), class_weight={0: 2}) == (
        "data.class_weight needs class labels, one per row: whole numbers, or one-hot rows; y has "
        f"dtype {y.dtype} and rows of shape {y.shape[1:]}."
    )


def test_class_weight_needs_labels_at_all():
    expected = "data.class_weight needs class labels, and the batches have no y."
    assert refusal(Split(X), class_weight={0: 2}) == expected
    assert refusal(labels=False, class_weight={0: 2}) == expected


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_class_weight_must_be_a_weight(weight):
    assert refusal(class_weight={1: weight}) == (
        f"data.class_weight.1 is {weight}; expected 0 or more."
    )


def test_class_weight_that_leaves_nothing_is_refused():
    assert refusal(class_weight={0: 0, 1: 0, 2: 0}) == (
        "data.class_weight gives every row the weight 0."
    )


def test_joined_rows_without_weights_count_for_one():
    weighted = Split(np.zeros((2, 1)), np.zeros(2), np.array([3.0, 4.0]))
    bare = Split(np.ones((1, 1)), np.ones(1))
    data = prepare({"train": weighted, "test": bare}, DataOptions(join=True), seed=0)
    assert data.splits["train"].sample_weight.tolist() == [3.0, 4.0, 1.0]


def test_options_apply_to_every_array_of_a_structure():
    split = Split({"b": X, "a": [X + 1]}, (Y, Y + 1))
    data = ready(split, {"test": Split({"a": (X[:1],), "b": X[:1]}, (Y[:1], Y[:1]))}, join=True)
    joined = data.splits["train"]
    assert list(joined.arrays()) == ["x['a'][0]", "x['b']", "y[0]", "y[1]"]
    assert {len(array) for array in joined.arrays().values()} == {11}
    data = ready(split, validation_split=0.2)
    assert [len(a) for a in data.splits["validation"].arrays().values()] == [2] * 4
    assert data.splits["train"].x["b"].dtype == np.float32
    assert ready(split, labels=False).splits["train"].batch.keys() == {"a", "b"}


def test_joined_rows_without_weights_count_for_one_in_every_output():
    y = {"a": Y, "b": Y}
    weighted = Split(X, y, {"a": np.full((10, 1), 3.0), "b": np.full(10, 2.0)})
    weight = ready(weighted, {"test": Split(X, y)}, join=True).splits["train"].sample_weight
    assert weight["a"].sum() == 10 * 3 + 10
    assert weight["b"].shape == (20,)


def test_class_weight_needs_one_array_of_labels():
    assert refusal(Split(X, {"a": Y, "b": Y}), class_weight={0: 2}) == (
        "data.class_weight needs one y, and this data has y['a'] and y['b']; let the dataset give "
        "a sample weight for each."
    )
