import random

import numpy as np

from fitx.run import host_random


def drawn():
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn()]


def test_both_generators_go_on_where_they_stood():
    drawn()
    state = {name: array.copy() for name, array in host_random.take().items()}
    expected = [drawn() for _ in range(400)]
    host_random.put_back(state)
    assert [drawn() for _ in range(400)] == expected
    assert all(array.dtype.kind in "fiu" for array in state.values())
