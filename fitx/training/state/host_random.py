"""Where Python's and NumPy's own random numbers stand, as arrays."""

from __future__ import annotations

import random

import numpy as np

from fitx.errors import StorageError

WORDS = 624
"""Of the Mersenne Twister."""

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
    """Let both generators go on from there.

    Raises:
        StorageError: It is no state of theirs.
    """
    try:
        # NumPy checks no position, and reads memory that is not its own.
        if not 0 <= int(state["numpy_position"][0]) <= WORDS:
            raise ValueError("a position beyond the words")
        _put_back(state)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise StorageError(f"state.npz holds no state of random numbers: {error}") from error


def _put_back(state: Arrays) -> None:
    gauss = state["python_gauss"].tolist()
    random.setstate((3, tuple(state["python"].tolist()), gauss[0] if gauss else None))
    position, has_gauss = state["numpy_position"].tolist()
    cached = state["numpy_gauss"].tolist()[0]
    np.random.set_state(("MT19937", state["numpy"], position, has_gauss, cached))
