"""Asks TensorFlow which operations of a graph XLA cannot compile, and reads its error messages.

Public functions compile a graph, or fail. Only TensorFlow's list of kernels says which operations
XLA supports, and only an error message says which operation needs a size at compile time.
Tests that fail when TensorFlow changes: tests/compat/test_xla_compiler.py:
test_tensorflow_still_lists_the_kernels_of_xla,
test_tensorflow_still_says_compile_time_constant_of_a_size_it_must_know and
test_tensorflow_still_names_the_operation_that_it_cannot_lower.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import kernels

from fitx.compat.required_names import demand

demand(kernels, "get_registered_kernels_for_op")

_NODE = re.compile(r"node `(?P<path>[^`]+)` with op (?P<type>\w+)")


@dataclass(frozen=True)
class Refusal:
    """TensorFlow's message of a function that it cannot lower to XLA's language.

    Attributes:
        text: The message.
        node: Path and type of the operation that it names; None if it names none.
    """

    text: str
    node: tuple[str, str] | None

    @property
    def is_of_unknown_size(self) -> bool:
        """True if an operation takes a size that XLA must know beforehand."""
        return "compile-time constant" in self.text


def xla_refusal(function: Any, specs: Sequence[tf.TensorSpec]) -> Refusal | None:
    """Lower a function to XLA's language; return what TensorFlow says if it cannot.

    Nothing is compiled or run: it takes a tenth of a second or so.
    """
    program = tf.function(function, autograph=False, jit_compile=True)
    try:
        program.experimental_get_compiler_ir(*specs)(stage="hlo")
    except (ValueError, tf.errors.OpError) as error:
        node = _NODE.search(str(error))
        return Refusal(str(error), (node["path"], node["type"]) if node else None)
    return None


def has_kernel(op: tf.Operation, device_kind: str) -> bool:
    """Return whether XLA knows an operation, on a device of the kind "cpu" or "gpu"."""
    if op.type == "Placeholder":
        # An argument of a function, which is no operation of it.
        return True
    device = f"XLA_{device_kind.upper()}_JIT"
    registered = kernels.get_registered_kernels_for_op(op.type).kernel
    return any(kernel.device_type == device for kernel in registered)
