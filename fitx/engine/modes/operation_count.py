"""Counts the operations of one step, and its arithmetic by kind, in its graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fitx.compat.function_graphs import operations

_CONVOLUTIONS = ("Conv2D", "Conv3D", "DepthwiseConv2d")
_PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum")
_LOOPS = ("While", "StatelessWhile")


@dataclass(frozen=True)
class StepWork:
    """The operations and the arithmetic of one step.

    Attributes:
        operations: Operations that TensorFlow would start one by one; those of a loop's body count
            once.
        products: Multiplications and additions in products of matrices.
        convolutions: The same in convolutions.
        loops: Loops in the graph, such as those of recurrent layers.
        numbers: Numbers in all variables: weights, and the state of optimizers and metrics;
            variables whose shape changes are not counted.
    """

    operations: int
    products: float
    convolutions: float
    loops: int
    numbers: int


def count_work(graph: Any, batch_size: int) -> StepWork:
    """Count the work of a traced step.

    Args:
        graph: The graph of one batch, as `StepGraph.graph` returns it.
        batch_size: The size to use where the graph leaves a size open.
    """
    nothing = ("Const", "Placeholder", "Identity", "NoOp")
    starts = [op for op in operations(graph.graph) if op.type not in nothing]
    return StepWork(
        operations=len(starts),
        products=sum(_product(op, batch_size) for op in starts),
        convolutions=sum(_convolution(op, batch_size) for op in starts),
        loops=sum(op.type in _LOOPS for op in starts),
        numbers=sum(variable.shape.num_elements() or 0 for variable in graph.graph.variables),
    )


def _product(op: Any, batch_size: int) -> float:
    if op.type not in _PRODUCTS:
        return 0.0
    left, right, product = (_size(t, batch_size) for t in (*op.inputs[:2], op.outputs[0]))
    # For shapes (m, k) and (k, n) it is mkn, the root of the product of the sizes of both and of
    # the result.
    return 2.0 * math.sqrt(left * right * product)


def _convolution(op: Any, batch_size: int) -> float:
    if not op.type.startswith(_CONVOLUTIONS):
        return 0.0
    # Forward or backward, every number of the convolved side meets the kernel of its channel.
    backward = "Backprop" in op.type
    convolved = op.inputs[2] if backward else op.outputs[0]
    kernel = op.outputs[0] if "BackpropFilter" in op.type else op.inputs[1]
    channels = kernel.shape[-2:].num_elements() if "Depthwise" in op.type else kernel.shape[-1]
    return 2.0 * _size(convolved, batch_size) * _size(kernel, 1) / (channels or 1)


def _size(tensor: Any, batch_size: int) -> float:
    if tensor.shape.rank is None:
        return float(batch_size)
    return float(math.prod(batch_size if n is None else n for n in tensor.shape))
