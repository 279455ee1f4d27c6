"""Nested dictionaries and tuples of arrays, such as the inputs of a network with several.

`tf.nest` does the same with TensorFlow, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np


def normalized(value: Any) -> Any:
    """Return a structure with its lists as tuples and its mappings as dictionaries in key order.

    TensorFlow would make one tensor of a list. A container without any array in it, and a mapping
    whose keys are not strings, are left as they are: they count as leaves, for checks to refuse.
    """
    if not _has_arrays(value):
        return value
    if isinstance(value, Mapping):
        return {key: normalized(value[key]) for key in sorted(value)}
    items = [normalized(item) for item in value]
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)


def leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a normalized structure with names such as `x['image']` or `y[0]`."""
    if isinstance(value, dict) and _has_arrays(value):
        for key, item in value.items():
            yield from leaves(item, f"{name}[{key!r}]")
    elif isinstance(value, tuple) and _has_arrays(value):
        for index, item in enumerate(value):
            yield from leaves(item, f"{name}[{index}]")
    else:
        yield name, value


def mapped(function: Callable[..., Any], value: Any, *others: Any) -> Any:
    """Return a normalized structure of what a function returns for the leaves of structures."""
    if isinstance(value, dict):
        return {k: mapped(function, v, *(other[k] for other in others)) for k, v in value.items()}
    if isinstance(value, tuple):
        items = [mapped(function, *group) for group in zip(value, *others, strict=True)]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    return function(value, *others)


def is_nested(value: Any) -> bool:
    """Return whether a normalized structure is more than one array."""
    return isinstance(value, dict | tuple)


def _has_arrays(value: Any) -> bool:
    """Return whether a value is a container with an array in it, at any depth."""
    if isinstance(value, Mapping):
        texts = all(isinstance(key, str) for key in value)
        return texts and any(map(_is_array_or_has_arrays, value.values()))
    return isinstance(value, tuple | list) and any(map(_is_array_or_has_arrays, value))


def _is_array_or_has_arrays(value: Any) -> bool:
    return isinstance(value, np.ndarray) or _has_arrays(value)
