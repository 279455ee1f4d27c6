"""The data of the runs that are killed."""

import numpy as np

from fitx import Split, datasets


@datasets.register
def points(*, seed: int, rows: int = 120, test_rows: int = 4000):
    """Return points and how far they are from the origin."""
    x = np.random.default_rng(seed).normal(size=(rows + 40 + test_rows, 6)).astype("float32")
    y = np.square(x).sum(axis=1, keepdims=True)
    train, validation, test = (slice(rows), slice(rows, rows + 40), slice(rows + 40, None))
    splits = {"train": train, "validation": validation, "test": test}
    return {name: Split(x[part], y[part]) for name, part in splits.items()}
