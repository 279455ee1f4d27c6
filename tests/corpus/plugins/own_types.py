from typing import Annotated, Literal

from annotated_types import Ge, Le
from fitx import datasets


@datasets.register
def load(
    *,
    path,
    rows: Annotated[int, Ge(1)] = 10,
    shape: tuple[int, int] = (8, 8),
    mode: Literal["fast", "exact"] = "fast",
    scale: float | None = None,
    weights: dict[int, Annotated[float, Le(1)]] = {},
    names: list[str] = [],
):
    raise NotImplementedError
