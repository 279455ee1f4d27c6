"""What a dataset yields: one set of arrays per split."""

from dataclasses import dataclass

import numpy as np

NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Rows to train or to measure on; the arrays' first axes are the same rows.

    Args:
        x: What the networks are given.
        y: What they are to answer; without it batches are the bare x.
        sample_weight: How much each row counts, at least 0.
    """

    x: np.ndarray
    y: np.ndarray | None = None
    sample_weight: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.x)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that are there, by name, x first."""
        arrays = {"x": self.x, "y": self.y, "sample_weight": self.sample_weight}
        return {name: array for name, array in arrays.items() if array is not None}


Splits = dict[str, Split]
"""'train', and where the dataset has them 'validation' and 'test'."""


def rows_text(splits: Splits) -> str:
    """Return how many rows all splits have, such as `740,000 rows`."""
    arrays = (split.x for split in splits.values())
    # It is told before the arrays are checked.
    count = sum(len(x) for x in arrays if isinstance(x, np.ndarray) and x.ndim)
    return f"{count:,} row{'s' * (count != 1)}"
