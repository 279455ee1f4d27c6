"""Finds NaN and infinite numbers among logged values and arrays, and refuses them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from fitx.errors import Diverged

ADVICE = "Lower the learning rate, or look at the data and the loss."


def forbidden_values(values: Mapping[str, float], allow_nan: Collection[str]) -> dict[str, float]:
    """Return the values that end a run: infinities, and NaN unless it is allowed.

    Args:
        values: Logged values by name.
        allow_nan: Names of values that may be NaN, in training, validation and test.
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
    """Raise Diverged if a value is infinite, or NaN without being allowed; names each of them."""
    forbidden = forbidden_values(values, allow_nan)
    if forbidden:
        raise Diverged(values_text(forbidden), where, more, tuple(forbidden))


def values_text(values: Mapping[str, float]) -> str:
    """Return names and values as part of a sentence."""
    return ", ".join(f"{name} is {value}" for name, value in values.items())


def first_non_finite(state: Mapping[str, np.ndarray]) -> str | None:
    """Return the name of the first array that holds NaN or an infinity; None without one."""
    return next((name for name, array in state.items() if not is_finite(array)), None)


def is_finite(array: np.ndarray) -> bool:
    """Return whether an array holds neither NaN nor an infinity."""
    return array.dtype.kind in "biu" or bool(np.isfinite(array).all())


def non_finite_number(array: np.ndarray) -> str:
    """Return the first number of an array that is not finite: nan, inf or -inf."""
    return str(array[~np.isfinite(array)].flat[0])


def position_text(step: int, epoch: int) -> str:
    """Return a position in the training as a message shows it."""
    return f"after step {step:,} (epoch {epoch})"
