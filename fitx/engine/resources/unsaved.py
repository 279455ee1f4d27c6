"""Finds operations of a traced step whose state is not saved in checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import tensorflow as tf

from fitx.compat.stateful_random import calls_python, hidden
from fitx.engine.resources.captured import Resource, captured_resources, kept_by_name
from fitx.engine.resources.tables import changes, is_constant, table_of

_FAIL = 2
"""The policy by which TensorFlow refuses to describe a dataset with external state."""

_WITHOUT_STATE = ("Summary", "Collective")
"""Words in the types of operations whose resource is only written to, or connects devices."""

_ANEW = ("reshuffle_each_iteration", "rerandomize_each_iteration")
"""Attributes of datasets that give another order each time."""


class StateLocation(Enum):
    """The place where an operation keeps its state."""

    PYTHON = "in Python, which it calls"
    OPERATION = "in itself: its position in a stream of random numbers"
    RESOURCE = "in a resource that is no variable, such as a queue"
    MADE_INSIDE = "in a resource that the step makes, and finds again by its name"
    ORDER = "in the order of a table's rows"
    SHARED = "in a table that several devices change"


@dataclass(frozen=True)
class UnsavedOperation:
    """An operation whose state is not saved, and the place of that state."""

    operation: tf.Operation
    location: StateLocation


def unsaved_operations(graph: Any, *, is_distributed: bool = False) -> Iterator[UnsavedOperation]:
    """Yield the operations of a traced step whose state is not saved, one for each resource.

    Args:
        graph: The step.
        is_distributed: Whether several devices compute the step.
    """
    for op in hidden(graph):
        location = StateLocation.PYTHON if calls_python(op) else StateLocation.OPERATION
        yield UnsavedOperation(op, location)
    for op in kept_by_name(graph):
        yield UnsavedOperation(op, StateLocation.MADE_INSIDE)
    for resource in captured_resources(graph):
        yield from _unsaved_uses(resource)
        table = table_of(resource) if is_distributed else None
        if table is not None and table.may_change:
            yield UnsavedOperation(
                next(use for use in resource.uses if changes(use)), StateLocation.SHARED
            )


def _unsaved_uses(resource: Resource) -> Iterator[UnsavedOperation]:
    table = table_of(resource)
    if table is not None and not table.is_dense:
        exports = (use for use in resource.uses if use.type == "LookupTableExportV2")
        yield from (UnsavedOperation(use, StateLocation.ORDER) for use in exports)
    elif table is None and resource.uses and not _is_stateless(resource):
        yield UnsavedOperation(resource.uses[0], StateLocation.RESOURCE)


def _is_stateless(resource: Resource) -> bool:
    if resource.handle.dtype == tf.variant:
        return _yields_the_same(resource.handle)
    return is_constant(resource) or any(map(resource.is_used_by, _WITHOUT_STATE))


def _yields_the_same(dataset: tf.Tensor) -> bool:
    """Return whether each iteration over a dataset yields the same."""
    try:
        text = tf.raw_ops.DatasetToGraphV2(input_dataset=dataset, external_state_policy=_FAIL)
    except tf.errors.OpError:
        # It draws random numbers or calls Python, or is too large to be described.
        return False
    graph = tf.compat.v1.GraphDef.FromString(text.numpy())
    nodes = [*graph.node, *(n for function in graph.library.function for n in function.node_def)]
    return not any(node.attr[name].b for node in nodes for name in _ANEW)
