"""Finds resources of TensorFlow, other than variables, in which a traced step keeps state.

These are lookup tables, queues, iterators and the like. A step may capture one that was made before
it, or hold an operation that makes one and finds it again by its name each time it runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from fitx.compat.function_graphs import called, operations

_STATELESS = ("HashTableV2", "HashTable", "SummaryWriter")
"""Operations that make a resource of constants, or one that is only written to."""


@dataclass(frozen=True)
class Resource:
    """A resource that a graph captured.

    Attributes:
        handle: Its handle outside of the graph, of dtype resource or variant.
        uses: The operations that use it, including those in functions of the graph.
    """

    handle: Any
    uses: tuple[tf.Operation, ...]

    def is_used_by(self, word: str) -> bool:
        """Return whether the type of an operation that uses it contains a word."""
        return any(word in use.type for use in self.uses)


def captured_resources(graph: Any) -> Iterator[Resource]:
    """Yield the resources that a graph captured, except variables, in the order of first use.

    Among variants, which may hold anything, only datasets are yielded.
    """
    variables = {id(variable.handle) for variable in graph.graph.variables}
    for outside, inside in graph.graph.captures:
        if outside.dtype not in (tf.resource, tf.variant) or id(outside) in variables:
            continue
        resource = Resource(outside, tuple(_uses(inside, set())))
        if outside.dtype == tf.resource or resource.is_used_by("Dataset"):
            yield resource


def kept_by_name(graph: Any) -> Iterator[tf.Operation]:
    """Yield the operations of a graph that make a resource which the next call finds by name."""
    for op in operations(graph.graph):
        names = {attribute.name for attribute in op.op_def.attr}
        if {"container", "shared_name"} <= names and op.type not in _STATELESS:
            yield op


def _uses(tensor: Any, seen: set[int]) -> Iterator[tf.Operation]:
    for op in tensor.consumers():
        inner = list(_inside(tensor, op))
        if op.type == "Identity":
            inner = op.outputs
        elif not inner:
            yield op
        for one in inner:
            if id(one) not in seen:
                seen.add(id(one))
                yield from _uses(one, seen)


def _inside(tensor: Any, op: tf.Operation) -> Iterator[Any]:
    """Yield the parameters that get a tensor in the functions that an operation calls.

    A function gets the last inputs of the operation; a condition, for example, comes before them.
    """
    for graph in called(op):
        for index, op_input in enumerate(op.inputs):
            at = len(graph.inputs) - len(op.inputs) + index
            if op_input is tensor and at >= 0:
                yield graph.inputs[at]
