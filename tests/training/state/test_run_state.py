import random

import numpy as np
import pytest

from fitx.errors import StorageError
from fitx.training.state.run_state import capture_host_random, restore_host_random


def drawn():
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()]


def test_both_generators_go_on_where_they_stood():
    drawn()
    state = {name: array.copy() for name, array in capture_host_random().items()}
    expected = [drawn() for _ in range(400)]
    restore_host_random(state)
    assert [drawn() for _ in range(400)] == expected
    assert all(array.dtype.kind in "fiu" for array in state.values())


@pytest.mark.parametrize(
    "change",
    [
        {"numpy_position": np.array([2 * 10**9, 0])},
        {"numpy_position": np.array([])},
        {"numpy": np.zeros(3, "uint32")},
        {"python": np.zeros((2, 2))},
    ],
)
def test_what_is_no_state_of_theirs_is_refused(change):
    with pytest.raises(StorageError, match="^state.npz holds no state of random numbers: "):
        restore_host_random({**capture_host_random(), **change})
