"""Operations of a traced step that keep a state which no checkpoint holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

import tensorflow as tf

from fitx.engine.drawing import calls_python, hidden
from fitx.engine.resources import Resource, captured, kept_by_name
from fitx.engine.tables import is_constant, table_of

_FAIL = 2
"""Lets TensorFlow refuse to describe a dataset that depends on more than itself."""

_ANEW = ("reshuffle_each_iteration", "rerandomize_each_iteration")
"""Attributes of datasets that are in another order each time."""


class Kind(Enum):
    """Where such an operation keeps its state."""

    PYTHON = "in Python, which it calls"
    PLACE = "in itself: how far it has drawn random numbers"
    RESOURCE = "in a resource that is no variable, such as a queue"
    MADE_INSIDE = "in a resource that it makes within the step, and finds again by its name"
    ORDER = "in the order of a table's rows"


@dataclass(frozen=True)
class Unsaved:
    """An operation whose state is not saved, and where it keeps that."""

    operation: tf.Operation
    kind: Kind


def unsaved(graph: Any) -> Iterator[Unsaved]:
    """Yield the operations of a traced step whose state is not saved, one for each resource."""
    for op in hidden(graph):
        yield Unsaved(op, Kind.PYTHON if calls_python(op) else Kind.PLACE)
    for op in kept_by_name(graph):
        yield Unsaved(op, Kind.MADE_INSIDE)
    for resource in captured(graph):
        yield from _of_resource(resource)


def _of_resource(resource: Resource) -> Iterator[Unsaved]:
    table = table_of(resource)
    if table is not None and not table.is_dense:
        exports = (use for use in resource.uses if use.type == "LookupTableExportV2")
        yield from (Unsaved(use, Kind.ORDER) for use in exports)
    elif table is None and resource.uses and not _keeps_nothing(resource):
        yield Unsaved(resource.uses[0], Kind.RESOURCE)


def _keeps_nothing(resource: Resource) -> bool:
    if resource.handle.dtype == tf.variant:
        return _begins_alike(resource.handle)
    return resource.is_used_by("Summary") or is_constant(resource)


def _begins_alike(dataset: tf.Tensor) -> bool:
    """Whether a dataset yields the same each time it is gone through."""
    try:
        text = tf.raw_ops.DatasetToGraphV2(input_dataset=dataset, external_state_policy=_FAIL)
    except tf.errors.OpError:
        # It draws random numbers or calls Python, or is too large to be looked at.
        return False
    graph = tf.compat.v1.GraphDef.FromString(text.numpy())
    nodes = [*graph.node, *(n for function in graph.library.function for n in function.node_def)]
    return not any(node.attr[name].b for node in nodes for name in _ANEW)
