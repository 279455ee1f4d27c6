"""Batches that change from one to the next, of which every new kind costs a trace."""

from __future__ import annotations

import warnings
from typing import Any

import keras

MOST_TRACES = 2
"""Of a step that nobody need hear of: for batches of one size, and for batches of any."""

_PARTS = ("x", "y", "sample_weight")


def warn(name: str, before: Any, after: Any) -> None:
    """Warn that a step is traced for more kinds of batches than it should be.

    Args:
        name: The step's method.
        before: The spec of the batches that it was traced for last.
        after: The spec of those that it is being traced for.
    """
    warnings.warn(
        f"{name} is traced for the {MOST_TRACES + 1}rd time, because {_change(before, after)}. "
        "Each kind of batch costs a trace, and in a mode of XLA a compilation: pad to one shape, "
        "keep one dtype, and leave a shorter last batch out, as `data.drop_remainder` does.",
        stacklevel=2,
    )


def _change(before: Any, after: Any) -> str:
    """Say which array of a batch is another than before, and how."""
    old, new = _arrays(before), _arrays(after)
    for name, form in new.items():
        if name not in old:
            return f"{name} is new"
        if old[name] != form:
            return f"{name} was {old[name]} and is {form}"
    gone = [name for name in old if name not in new]
    return f"{gone[0]} is gone" if gone else "the batch is put together in another way"


def _arrays(spec: Any) -> dict[str, str]:
    """Return the dtype and shape of every array of a batch, by what a step calls it."""
    is_split = isinstance(spec, tuple | list) and len(spec) <= len(_PARTS)
    arrays = {}
    for path, leaf in keras.tree.flatten_with_path(spec):
        first, rest = (_PARTS[path[0]], path[1:]) if is_split else ("x", path)
        arrays[first + "".join(f"[{key!r}]" for key in rest)] = f"{leaf.dtype.name} {leaf.shape}"
    return arrays
