"""Graphs of the functions that a graph calls, which TensorFlow gives only by a private method."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def operations(graph: Any) -> Iterator[Any]:
    """Yield the operations of a graph and of the functions that it calls, each function once."""
    waiting, seen = [graph], set[str]()
    while waiting:
        inner = waiting.pop(0)
        for op in inner.get_operations():
            yield op
            for name in _called_names(op):
                if name not in seen:
                    seen.add(name)
                    waiting.append(inner._get_function(name).graph)


def called(op: Any) -> Iterator[Any]:
    """Yield the graphs of the functions that an operation calls, such as those of a loop."""
    for name in _called_names(op):
        yield op.graph._get_function(name).graph


def _called_names(op: Any) -> Iterator[str]:
    for attribute in op.op_def.attr:
        if attribute.type == "func":
            yield op.get_attr(attribute.name).name
        elif attribute.type == "list(func)":
            yield from (function.name for function in op.get_attr(attribute.name))
