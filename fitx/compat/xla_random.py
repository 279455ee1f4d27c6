"""Random numbers that are the same in XLA's programs as elsewhere.

Both draw the same bits, and make other numbers of them: TensorFlow takes the low bits for a
uniform number and goes by Box and Muller for a normal one, XLA takes the high bits and inverts the
error function. So in what XLA is to compile, what draws is replaced: bits are drawn, and numbers
made of them as TensorFlow does. Numbers of 64 bits, truncated normal ones and permutations are
left to XLA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.eager import context

_FORMS = {
    tf.float32: (tf.uint32, 23, 127),
    tf.float16: (tf.uint16, 10, 15),
    tf.bfloat16: (tf.uint16, 7, 127),
}
"""By type: an integer as wide, the bits of the mantissa, and the exponent that stands for 1."""


def as_elsewhere(graph: Any) -> Callable[[Any], Any]:
    """Return what runs a graph and draws the numbers in XLA that it draws elsewhere.

    Args:
        graph: A traced function that takes one structure of tensors.

    Returns:
        The graph itself if it draws none; else a function that runs it for its effects.
    """
    definition = graph.function_def
    library = {f.signature.name: f for f in graph.graph.as_graph_def().library.function}
    name = _Replacing(library).replaced(definition)
    if name == definition.signature.name:
        return graph  # type: ignore[no-any-return]
    types = [tf.as_dtype(output.type) for output in definition.signature.output_arg]

    def run(data: Any) -> None:
        inputs = [*tf.nest.flatten(data), *graph.captured_inputs]
        tf.raw_ops.StatefulPartitionedCall(args=inputs, Tout=types, f=name)

    return run


class _Replacing:
    """Replaces what draws numbers in functions, and in the functions that these call.

    Args:
        library: The functions that may be called, by name.
    """

    def __init__(self, library: Mapping[str, Any]) -> None:
        self._library = library
        self._names: dict[str, str] = {}

    def replaced(self, definition: Any) -> str:
        """Return the name of the function to call in a function's place; its own if unchanged."""
        name = definition.signature.name
        if name not in self._names:
            copy = type(definition)()
            copy.CopyFrom(definition)
            is_changed = any([self._is_changed(node) for node in copy.node_def])
            self._names[name] = f"{name}_as_elsewhere" if is_changed else name
            if is_changed:
                copy.signature.name = self._names[name]
                context.context().add_function_def(copy)
        return self._names[name]

    def _is_changed(self, node: Any) -> bool:
        if node.op in _DRAWN and tf.as_dtype(node.attr["dtype"].type) in _FORMS:
            _call(node, _function(node.op, node.attr["dtype"].type, node.attr["Tshape"].type))
            return True
        lists = [attribute.list.func for attribute in node.attr.values()]
        single = [a.func for a in node.attr.values() if a.HasField("func")]
        called = [f for f in (*single, *sum(map(list, lists), [])) if f.name in self._library]
        before = [function.name for function in called]
        for function in called:
            function.name = self.replaced(self._library[function.name])
        return before != [function.name for function in called]


def _call(node: Any, function: Any) -> None:
    """Let a node call a function instead, of the same inputs and the same one output."""
    types = [
        node.attr["Tshape"].type,
        *(t.as_datatype_enum for t in (tf.uint64, tf.uint64, tf.int32)),
    ]
    out = node.attr["dtype"].type
    node.op = "PartitionedCall"
    node.attr.clear()
    node.attr["Tin"].list.type.extend(types)
    node.attr["Tout"].list.type.append(out)
    node.attr["f"].func.name = function.name
    for name in ("config", "config_proto", "executor_type"):
        node.attr[name].s = b""


@cache
def _function(operation: str, dtype: int, index: int) -> Any:
    """Return the function that draws what an operation draws; kept, or TensorFlow drops it."""
    state = (tf.TensorSpec([1], tf.uint64), tf.TensorSpec([None], tf.uint64))
    specs = (tf.TensorSpec([None], tf.as_dtype(index)), *state, tf.TensorSpec([], tf.int32))
    function = tf.function(partial(_DRAWN[operation], tf.as_dtype(dtype)), autograph=False)
    return function.get_concrete_function(*specs)


def _uniform(dtype: tf.DType, shape: Any, *state: Any) -> Any:
    return _from_bits(dtype, _bits(shape, *state))


def _normal(dtype: tf.DType, shape: Any, *state: Any) -> Any:
    count = tf.reduce_prod(shape)
    pairs = tf.reshape(_from_bits(tf.float32, _bits([(count + 1) // 2 * 2], *state)), (-1, 2))
    radius = tf.sqrt(-2.0 * tf.math.log(tf.maximum(pairs[:, 0], 1e-7)))
    angle = 2.0 * math.pi * pairs[:, 1]
    both = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], axis=1)
    return tf.cast(tf.reshape(tf.reshape(both, (-1,))[:count], shape), dtype)


def _bits(shape: Any, key: Any, counter: Any, alg: Any) -> Any:
    # Else XLA would compute the key anew for every number, which takes ten times as long.
    key, counter = gen_xla_ops.xla_optimization_barrier([key, counter])
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=shape, key=key, counter=counter, alg=alg, dtype=tf.uint32
    )


def _from_bits(dtype: tf.DType, bits: Any) -> Any:
    """Return numbers in [0, 1): the bits are the mantissas of numbers from 1 to 2, less 1."""
    integer, mantissa, exponent = _FORMS[dtype]
    low = tf.bitwise.bitwise_and(tf.cast(bits, integer), tf.constant(2**mantissa - 1, integer))
    one = tf.constant(exponent << mantissa, integer)
    return tf.bitcast(tf.bitwise.bitwise_or(low, one), dtype) - tf.constant(1, dtype)


_DRAWN = {"StatelessRandomUniformV2": _uniform, "StatelessRandomNormalV2": _normal}
"""What makes the numbers, by the operation that draws them."""
