"""Finds TensorFlow variables in the attributes of a step, which Keras does not list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

_HOLDERS = (keras.Layer, keras.metrics.Metric, tf.Module, tf.random.Generator)
"""Objects whose attributes may hold variables, beside lists, tuples and dictionaries."""


def untracked_variables(owner: Any) -> Iterator[tuple[str, tf.Variable]]:
    """Yield (path, variable) for each plain `tf.Variable` that an object holds, each once.

    The path is that of the attributes, such as `heads/0/scale`, so that it is the same in every
    process, whatever was traced, and however many variables have the same name.

    Args:
        owner: A step or a network.
    """
    yield from _found(owner, "", set())


def _found(value: Any, path: str, seen: set[int]) -> Iterator[tuple[str, tf.Variable]]:
    if id(value) in seen or isinstance(value, keras.Variable):
        return
    seen.add(id(value))
    if isinstance(value, tf.Variable):
        if value.dtype.is_numpy_compatible:
            yield path, value
        return
    for name, inner in _parts(value):
        yield from _found(inner, f"{path}/{name}" if path else str(name), seen)


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif isinstance(value, _HOLDERS):
        # Keras' own attributes, which begin with an underscore, hold the same layers again.
        yield from sorted(vars(value).items(), key=lambda item: item[0].startswith("_"))
