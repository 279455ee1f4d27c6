"""Numbers that are NaN or infinite: found among values and variables, and refused."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from fitx.errors import Diverged

ADVICE = "Lower the learning rate, or look at the data and the loss."


def refused(values: Mapping[str, float], allow_nan: Collection[str]) -> dict[str, float]:
    """Return the values that end a run: NaN, unless that is allowed, and infinities.

    Args:
        values: By the names that are logged.
        allow_nan: Names that the step logs; those of a validation and of the test are meant too.
    """
    prefixes = ("", "val_", "test_")
    allowed = {f"{prefix}{name}" for prefix in prefixes for name in allow_nan}
    return {
        name: value
        for name, value in values.items()
        if not (math.isfinite(value) or (math.isnan(value) and name in allowed))
    }


def refuse_values(
    values: Mapping[str, float], where: str, more: str = ADVICE, allow_nan: Collection[str] = ()
) -> None:
    """Raise Diverged if a value is infinite, or NaN and not allowed to be, naming each."""
    bad = refused(values, allow_nan)
    if bad:
        raise Diverged(told(bad), where, more, tuple(bad))


def told(values: Mapping[str, float]) -> str:
    """Return names and values as a sentence has them."""
    return ", ".join(f"{name} is {value}" for name, value in values.items())


def first_not_finite(state: Mapping[str, np.ndarray]) -> str | None:
    """Return the name of the first array that holds NaN or an infinity; None if there is none."""
    return next((name for name, array in state.items() if not is_finite(array)), None)


def is_finite(array: np.ndarray) -> bool:
    """Whether an array holds neither NaN nor an infinity."""
    return array.dtype.kind in "biu" or bool(np.isfinite(array).all())


def held(array: np.ndarray) -> str:
    """Return the first number of an array that is not finite: nan, inf or -inf."""
    return str(array[~np.isfinite(array)].flat[0])


def when(step: int, epoch: int) -> str:
    """Return where in a training something was seen."""
    return f"after step {step:,} (epoch {epoch})"
