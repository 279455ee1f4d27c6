"""Finds an operation of a step that XLA cannot compile, by letting TensorFlow lower the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from fitx.compat.function_graphs import operations
from fitx.compat.xla_compiler import Refusal, has_kernel, xla_refusal

_UNKNOWN = "which it does not support"
_SIZES = "whose sizes must be known before it runs"


@dataclass(frozen=True)
class XlaObstacle:
    """An operation that XLA cannot compile.

    Attributes:
        operation: The operation in the graph of the step; None if TensorFlow does not name it.
        reason: The reason, as a relative clause.
    """

    operation: tf.Operation | None
    reason: str


def find_obstacle(graph: Any, batch_size: int, device_kind: str) -> XlaObstacle | None:
    """Return an operation that XLA cannot compile in a traced step, None if there is none.

    TensorFlow itself lowers the graph to XLA's language, without compiling or running it: that
    takes a tenth of a second or so. What it cannot lower it cannot compile.

    Args:
        graph: The graph of one batch, as `Batch.graph` gives it.
        batch_size: The size to use where the graph leaves a size open.
        device_kind: "cpu" or "gpu": what the program would be for.
    """
    refusal = _refusal(graph, batch_size)
    if refusal is None:
        return None
    unknown = (op for op in operations(graph.graph) if not has_kernel(op, device_kind))
    first = next(unknown, None)
    if first is not None:
        return XlaObstacle(first, _UNKNOWN)
    reason = _SIZES if refusal.is_of_unknown_size else refusal.text.splitlines()[0]
    return XlaObstacle(_named(refusal, graph), reason)


def _refusal(graph: Any, batch_size: int) -> Refusal | None:
    """Return the message of TensorFlow if it cannot lower a graph."""
    structure = graph.structured_input_signature[0][0]
    specs = [_with_size(spec, batch_size) for spec in tf.nest.flatten(structure)]

    def one_batch(*columns: Any) -> None:
        graph(tf.nest.pack_sequence_as(structure, columns))

    return xla_refusal(one_batch, specs)


def _with_size(spec: tf.TensorSpec, batch_size: int) -> tf.TensorSpec:
    sizes = [batch_size if size is None else size for size in spec.shape]
    return tf.TensorSpec(sizes, spec.dtype)


def _named(refusal: Refusal, graph: Any) -> tf.Operation | None:
    """Return the operation that a message names by its path through the enclosing functions."""
    if refusal.node is None:
        return None
    path, kind = refusal.node
    candidates = (op for op in operations(graph.graph) if op.type == kind)
    return next((op for op in candidates if f"/{path}".endswith(f"/{op.name}")), None)
