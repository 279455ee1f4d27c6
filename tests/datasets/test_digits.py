import math
from pathlib import Path

import numpy as np
import pytest

import fitx.datasets
from fitx.build.output_layer import OutputLayer, output_layer_of_loss
from fitx.data.array_checks import validate
from fitx.data.splits import data_signature
from fitx.registry.registries import datasets

FOLDER = Path(fitx.datasets.__file__).parent


@pytest.fixture(scope="module")
def digits():
    return datasets.get("digits")


def test_digits_are_two_splits_of_small_images(digits):
    splits = digits()
    validate(splits, "digits")
    assert {name: len(split) for name, split in splits.items()} == {"train": 1437, "test": 360}
    for split in splits.values():
        assert split.x.shape[1:] == (8, 8, 1)
        assert (split.x.dtype, split.y.dtype) == (np.float32, np.int32)
        assert (split.x.min(), split.x.max()) == (0, 1)
        assert sorted(set(split.y.tolist())) == list(range(10))


def test_digits_tell_networks_of_ten_classes(digits):
    assert data_signature(digits()) == {"input_shape": (8, 8, 1), "image_shape": (8, 8, 1)}
    assert output_layer_of_loss(digits(), None) == OutputLayer(10, "softmax")


def test_rows_of_digits_are_fixed(digits):
    splits = digits()
    assert splits["train"].y[:10].tolist() == [2, 4, 5, 4, 8, 2, 0, 6, 3, 3]
    assert splits["test"].y[:10].tolist() == [4, 6, 3, 0, 6, 2, 9, 2, 5, 2]


def test_every_digit_is_in_one_split(digits):
    splits = digits()
    rows = np.concatenate([splits["train"].y, splits["test"].y])
    assert np.bincount(rows).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_scale_to_any_size(digits):
    small, large = digits()["test"], digits(image_size=28)["test"]
    assert large.x.shape == (360, 28, 28, 1)
    assert large.x.dtype == np.float32
    assert (large.y == small.y).all()
    assert abs(large.x.mean() - small.x.mean()) < 0.01


def test_digits_are_shipped_small_and_with_their_licence():
    assert (FOLDER / "digits.npz").stat().st_size < 100_000
    notice = (FOLDER / "digits.md").read_text(encoding="utf-8")
    for words in ("Alpaydin", "Kaynak", "archive.ics.uci.edu/dataset/80", "licenses/by/4.0"):
        assert words in notice


def test_rare_digits_are_rare_in_train_alone(digits):
    all_rows, splits = digits(), digits(rare={8: 0.05, 9: 0.0001})
    counts = np.bincount(splits["train"].y)
    assert counts[8] == math.ceil(0.05 * np.bincount(all_rows["train"].y)[8])
    assert counts[9] == 1
    assert (counts[:8] == np.bincount(all_rows["train"].y)[:8]).all()
    assert (splits["test"].y == all_rows["test"].y).all()
