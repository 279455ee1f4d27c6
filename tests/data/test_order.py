import hashlib

import numpy as np
import pytest

from fitx.data.order import FIRST_DATA_STREAM, permutation, uniform, words

GOLDEN = {
    (0, 0, 10): [0, 2, 9, 1, 8, 5, 4, 3, 6, 7],
    (0, 1, 10): [5, 3, 7, 8, 2, 4, 1, 0, 6, 9],
    (7, 0, 5): [4, 1, 3, 2, 0],
    (7, 3, 12): [2, 5, 9, 7, 3, 0, 6, 8, 4, 1, 11, 10],
    (2**64 - 1, 5, 8): [0, 2, 1, 5, 7, 6, 4, 3],
    (1, 2**62, 6): [1, 3, 4, 2, 0, 5],
}


@pytest.mark.parametrize(("arguments", "order"), GOLDEN.items())
def test_order_of_rows_is_the_same_for_ever(arguments, order):
    assert permutation(*arguments).tolist() == order


def test_order_of_many_rows_is_the_same_for_ever():
    order = permutation(42, 9, 100_000).astype("<i8")
    digest = hashlib.sha256(order.tobytes()).hexdigest()
    assert digest == "8a5800abbecafe45a2904fee6f4eec655dd0e2c66e08cffec34f023d4ede7315"


def test_numbers_of_random_data_are_the_same_for_ever():
    expected = [[0.5512624382972717, 0.2558109760284424], [0.5442371964454651, 0.1230689287185669]]
    assert uniform(3, FIRST_DATA_STREAM, (2, 2)).tolist() == expected


@pytest.mark.parametrize("count", [0, 1, 2, 1797])
def test_every_row_comes_once(count):
    order = permutation(5, 2, count)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(permutation(seed, epoch, 50)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_numpys_global_random_state_plays_no_part():
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    permutation(0, 0, 10)
    assert (np.random.get_state()[1] == state).all()


def test_data_streams_differ_from_the_orders_of_epochs():
    assert (words(0, FIRST_DATA_STREAM, 20) != words(0, 0, 20)).all()


def test_uniform_numbers_fill_zero_to_one():
    numbers = uniform(0, FIRST_DATA_STREAM, (100, 100))
    assert numbers.dtype == np.float32
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 0.01
