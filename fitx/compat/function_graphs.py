"""Lists what a function's graph captures and calls, and provides graphs to throw away.

TensorFlow's public API returns the concrete function of a trace. The functions that its graph calls
are available only by a private method, and its captures by an attribute of an internal class.
Tests that fail when TensorFlow changes: tests/compat/test_function_graphs.py:
test_tensorflow_still_gives_called_functions_by_name and
test_tensorflow_still_lists_what_a_graph_captures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from fitx.compat.required_names import demand

FuncGraph = tf.__internal__.FuncGraph
demand(FuncGraph, "_get_function", "captures")


def captures() -> list[tuple[Any, Any]]:
    """Return pairs of tensors, outside and inside, that the graph being traced captures."""
    return list(tf.compat.v1.get_default_graph().captures)


@contextmanager
def scratch_graph() -> Iterator[None]:
    """Add operations to a graph that is thrown away, within the one being traced."""
    with FuncGraph("scratch").as_default():
        yield


def graphs_being_traced() -> Iterator[Any]:
    """Yield the graph being traced, and those it is inside of; none while nothing is."""
    graph = tf.compat.v1.get_default_graph()
    while isinstance(graph, FuncGraph):
        yield graph
        graph = graph.outer_graph


def operations(graph: Any) -> Iterator[Any]:
    """Yield the operations of a graph and of the functions that it calls, each function once."""
    to_visit, seen = [graph], set[str]()
    while to_visit:
        inner = to_visit.pop(0)
        for op in inner.get_operations():
            yield op
            for name in _called_names(op):
                if name not in seen:
                    seen.add(name)
                    to_visit.append(inner._get_function(name).graph)


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
