import numpy as np
import pytest

from fitx.registry.registries import datasets


@pytest.fixture(scope="module")
def random():
    return datasets.get("random")


def test_random_data_is_that_of_the_guide(random):
    splits = random(seed=0)
    train = splits["train"]
    assert list(splits) == ["train"]
    assert (train.x.shape, train.y.shape, train.sample_weight) == ((1000, 32), (1000, 1), None)
    assert train.x.dtype == train.y.dtype == np.float32
    assert 0 <= train.x.min() < 0.001
    assert 0.999 < train.x.max() < 1


def test_random_data_takes_any_size(random):
    train = random(seed=0, rows=7, features=3, targets=2, sample_weight=True)["train"]
    shapes = [array.shape for array in train.arrays().values()]
    assert shapes == [(7, 3), (7, 2), (7, 1)]


def test_random_data_follows_from_the_seed(random):
    first, again, other = (random(seed=seed)["train"] for seed in (1, 1, 2))
    assert (first.x == again.x).all()
    assert (first.y == again.y).all()
    assert (first.x != other.x).mean() > 0.99


def test_numbers_of_random_data_are_unrelated_to_each_other(random):
    train = random(seed=0, features=1, sample_weight=True)["train"]
    columns = np.concatenate([train.x, train.y, train.sample_weight], axis=1)
    assert np.abs(np.corrcoef(columns.T) - np.eye(3)).max() < 0.1
