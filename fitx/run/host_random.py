"""Where Python's and NumPy's own random numbers stand, as arrays."""

from __future__ import annotations

import random

import numpy as np

Arrays = dict[str, np.ndarray]


def take() -> Arrays:
    """Return the state of both generators."""
    _, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": np.array(words, dtype=np.uint32),
        "python_gauss": np.array([] if gauss is None else [gauss]),
        "numpy": np.array(keys, dtype=np.uint32),
        "numpy_position": np.array([position, has_gauss], dtype=np.int64),
        "numpy_gauss": np.array([cached]),
    }


def put_back(state: Arrays) -> None:
    """Let both generators go on from there."""
    gauss = state["python_gauss"].tolist()
    random.setstate((3, tuple(state["python"].tolist()), gauss[0] if gauss else None))
    position, has_gauss = state["numpy_position"].tolist()
    cached = state["numpy_gauss"].tolist()[0]
    np.random.set_state(("MT19937", state["numpy"], position, has_gauss, cached))
