"""The arrays that the Keras guide "Customizing what happens in fit()" trains on."""

from typing import Annotated

from annotated_types import Ge

from fitx.data.order import FIRST_DATA_STREAM, uniform
from fitx.data.splits import Split, Splits
from fitx.datasets import register


@register
def random(
    *,
    seed: int,
    rows: Annotated[int, Ge(1)] = 1000,
    features: Annotated[int, Ge(1)] = 32,
    targets: Annotated[int, Ge(1)] = 1,
    sample_weight: bool = False,
) -> Splits:
    """Return random numbers, uniform in [0, 1); a seed gives the same ones on every machine.

    x: float32, shape (rows, features). y: float32, shape (rows, targets). Only 'train'.

    Args:
        seed: Seed of the random numbers; by default the experiment's.
        rows: Number of rows.
        features: Numbers in one x.
        targets: Numbers in one y.
        sample_weight: Also draw a sample weight per row, shape (rows, 1).
    """
    x = uniform(seed, FIRST_DATA_STREAM, (rows, features))
    y = uniform(seed, FIRST_DATA_STREAM + 1, (rows, targets))
    weight = uniform(seed, FIRST_DATA_STREAM + 2, (rows, 1)) if sample_weight else None
    return {"train": Split(x, y, weight)}
