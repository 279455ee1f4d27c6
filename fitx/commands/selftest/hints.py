"""Why a run may not go on exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fitx.commands.selftest.difference import Difference

STATELESS = ("LearningRateScheduler",)
"""Keras' callbacks that remember nothing, and need not."""


def hint(first: Difference, callbacks: Mapping[str, Any]) -> str:
    """Return what may be the reason for the first of all differences.

    Args:
        first: It.
        callbacks: What a checkpoint says of each callback, by name.
    """
    if first.kind == "callbacks":
        return "get_state or set_state of this callback leaves out something that it remembers"
    if first.kind == "random":
        return "Python's or NumPy's random numbers were drawn another number of times"
    if first.kind in ("journal", "values"):
        return (
            "all arrays are the same; what is logged comes from what no checkpoint holds, such as "
            "a global variable or an attribute that Python changes"
        )
    if first.kind == "position":
        return _forgetful(callbacks) or (
            "a callback that ends the training has to remember in get_state and set_state"
        )
    return _forgetful(callbacks) or (
        "the training depends on what fitx cannot see or save, such as a global variable of a "
        "module, an attribute that Python changes, or what a line at the start of a run names; "
        "keep it in a tf.Variable of the step, random numbers in keras.random.SeedGenerator"
    )


def _forgetful(callbacks: Mapping[str, Any]) -> str:
    """Name the callbacks of which nothing is kept."""
    names = [name for name, state in callbacks.items() if not state and name not in STATELESS]
    if not names:
        return ""
    return f"no get_state and set_state, so what it remembers is lost: {', '.join(names)}"
