"""The names of arrays in a checkpoint, and the parts that their prefixes make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fitx.checkpoint.state_file import Array, State

NETWORKS, OPTIMIZERS = "networks/", "optimizers/"
"""Prefixes of the networks' and of the optimizers' variables."""

BEST = "best/"
"""Prefix of the variables as they were at the best epoch."""

FINAL = "final/"
"""Prefix of the variables that a run ended with, where they differ from those that training left:
averaged by an optimizer, or restored to an earlier epoch by a callback."""


def numbered_names(prefix: str, variables: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Yield (name, variable) of variables, named by their paths; equal paths are numbered."""
    counts: dict[str, int] = {}
    for variable in variables:
        path = f"{prefix}/{getattr(variable, 'path', variable.name)}"
        counts[path] = counts.get(path, 0) + 1
        yield (path if counts[path] == 1 else f"{path}#{counts[path]}"), variable


def part(state: Mapping[str, Array], prefix: str) -> State:
    """Return the arrays under a prefix, without it; empty if there are none."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def prefixed(prefix: str, state: Mapping[str, Array]) -> State:
    """Return the arrays with a prefix before their names."""
    return {f"{prefix}{name}": array for name, array in state.items()}
