"""Replaces functions of Keras and TensorFlow while a step is traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def replaced(owner: Any, name: str, function: Any) -> Iterator[None]:
    """Let an attribute of a module or a class be another function, and put it back.

    It is the whole process that sees the other one: a step is traced by several threads, one for
    each replica, but never two steps at once.
    """
    original = getattr(owner, name)
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, original)
