"""Finds an operation of a step that XLA cannot compile, by letting TensorFlow lower the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from fitx.compat.function_graphs import operations
from fitx.compat.xla_compiler import Refusal, has_kernel, xla_refusal
from fitx.data.batch_layout import Rows

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


def find_obstacle(graph: Any, rows: Rows, device_kind: str) -> XlaObstacle | None:
    """Return an operation that XLA cannot compile in a traced step, None if there is none.

    TensorFlow itself lowers the graph to XLA's language, without compiling or running it: that
    takes a tenth of a second or so. What it cannot lower it cannot compile.

    Args:
        graph: The graph of one batch, as `Batch.graph` gives it.
        rows: The size to use where the graph leaves a size open; of several streams, for each.
        device_kind: "cpu" or "gpu": what the program would be for.
    """
    refusal = _refusal(graph, rows)
    if refusal is None:
        return None
    unknown = (op for op in operations(graph.graph) if not has_kernel(op, device_kind))
    first = next(unknown, None)
    if first is not None:
        return XlaObstacle(first, _UNKNOWN)
    reason = _SIZES if refusal.is_of_unknown_size else refusal.text.splitlines()[0]
    return XlaObstacle(_named(refusal, graph), reason)


def _refusal(graph: Any, rows: Rows) -> Refusal | None:
    """Return the message of TensorFlow if it cannot lower a graph."""
    structure = graph.structured_input_signature[0][0]
    specs = tf.nest.flatten(_with_sizes(structure, rows))

    def one_batch(*columns: Any) -> None:
        graph(tf.nest.pack_sequence_as(structure, columns))

    return xla_refusal(one_batch, specs)


def _with_sizes(spec: Any, rows: Rows) -> Any:
    """Return the spec of batches with a number for every open size."""
    if isinstance(rows, dict):
        return {name: _with_sizes(part, rows[name]) for name, part in spec.items()}

    def sized(part: tf.TensorSpec) -> tf.TensorSpec:
        return tf.TensorSpec([rows if size is None else size for size in part.shape], part.dtype)

    return tf.nest.map_structure(sized, spec)


def _named(refusal: Refusal, graph: Any) -> tf.Operation | None:
    """Return the operation that a message names by its path through the enclosing functions."""
    if refusal.node is None:
        return None
    path, kind = refusal.node
    candidates = (op for op in operations(graph.graph) if op.type == kind)
    return next((op for op in candidates if f"/{path}".endswith(f"/{op.name}")), None)
