"""Finds the `tf.Variable`s of a step or a network that Keras does not track."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import tensorflow as tf

_HOLDERS = (keras.Layer, keras.metrics.Metric, tf.Module, tf.random.Generator)
"""Types whose attributes are searched for variables, besides lists, tuples and mappings."""


def untracked_variables(owner: Any) -> Iterator[tuple[str, tf.Variable]]:
    """Yield path and variable of each `tf.Variable` in the attributes of an object, each once.

    Keras does not list these. The path names the attributes, such as `heads/0/scale`: it is the
    same in every process, whatever was traced and however many variables share a name.

    Args:
        owner: A step or a network.
    """
    yield from _in_attributes(owner, "", set())


def _in_attributes(value: Any, path: str, visited: set[int]) -> Iterator[tuple[str, tf.Variable]]:
    if id(value) in visited or isinstance(value, keras.Variable):
        return
    visited.add(id(value))
    if isinstance(value, tf.Variable):
        if value.dtype.is_numpy_compatible:
            yield path, value
        return
    for name, inner in _members(value):
        yield from _in_attributes(inner, f"{path}/{name}" if path else str(name), visited)


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from value.items()
    elif isinstance(value, list | tuple):
        yield from enumerate(value)
    elif isinstance(value, _HOLDERS):
        # Keras' own attributes, which begin with an underscore, hold the same layers again.
        yield from sorted(vars(value).items(), key=lambda item: item[0].startswith("_"))
