"""What XLA cannot compile in a step, found by letting TensorFlow lower the step's graph."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

from fitx.compat.function_graphs import operations

_NAMED = re.compile(r"node `(?P<name>[^`]+)` with op (?P<type>\w+)")
"""How TensorFlow names an operation that it has lowered as far as it could."""

_UNKNOWN = "which it does not know"
_SIZES = "which takes sizes that it must know beforehand"


@dataclass(frozen=True)
class XlaObstacle:
    """An operation that XLA cannot compile.

    Attributes:
        operation: It, in the graph of the step; None where TensorFlow does not name it.
        reason: What keeps XLA from compiling it, as a clause about it.
    """

    operation: tf.Operation | None
    reason: str


def find_obstacle(graph: Any, batch_size: int, device_kind: str) -> XlaObstacle | None:
    """Return what XLA cannot compile in a traced step, None if it can compile all of it.

    TensorFlow itself lowers the graph to XLA's language, without compiling or running it: that
    takes a tenth of a second or so. What it cannot lower it cannot compile.

    Args:
        graph: The graph of one batch, as `Batch.graph` gives it.
        batch_size: What stands for a size that the graph leaves open.
        device_kind: "cpu" or "gpu": what the program would be for.
    """
    refusal = _refusal(graph, batch_size)
    if refusal is None:
        return None
    device = f"XLA_{device_kind.upper()}_JIT"
    unknown = next((op for op in operations(graph.graph) if not _has_kernel(op, device)), None)
    if unknown is not None:
        return XlaObstacle(unknown, _UNKNOWN)
    reason = _SIZES if "compile-time constant" in refusal else refusal.splitlines()[0]
    return XlaObstacle(_named(refusal, graph), reason)


def _refusal(graph: Any, batch_size: int) -> str | None:
    """Return what TensorFlow says when it cannot lower a graph."""
    structure = graph.structured_input_signature[0][0]
    specs = [_with_size(spec, batch_size) for spec in tf.nest.flatten(structure)]

    def one_batch(*columns: Any) -> None:
        graph(tf.nest.pack_sequence_as(structure, columns))

    program = tf.function(one_batch, autograph=False, jit_compile=True)
    try:
        program.experimental_get_compiler_ir(*specs)(stage="hlo")
    except (ValueError, tf.errors.OpError) as error:
        return str(error)
    return None


def _with_size(spec: tf.TensorSpec, batch_size: int) -> tf.TensorSpec:
    sizes = [batch_size if size is None else size for size in spec.shape]
    return tf.TensorSpec(sizes, spec.dtype)


def _has_kernel(op: tf.Operation, device: str) -> bool:
    if op.type == "Placeholder":
        # What a function takes, which is no operation of it.
        return True
    return any(k.device_type == device for k in get_registered_kernels_for_op(op.type).kernel)


def _named(refusal: str, graph: Any) -> tf.Operation | None:
    """Return the operation that TensorFlow names by its path through the functions around it."""
    found = _NAMED.search(refusal)
    if found is None:
        return None
    named = (op for op in operations(graph.graph) if op.type == found["type"])
    return next((op for op in named if f"/{found['name']}".endswith(f"/{op.name}")), None)
