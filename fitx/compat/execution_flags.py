"""TensorFlow's settings without a public function: determinism off again, and the use of oneDNN.

TensorFlow's public API can turn deterministic operations on, but not off again; and it does not say
whether oneDNN, whose results differ in the last bits, computes on the CPU.
Tests that fail when TensorFlow changes: tests/compat/test_execution_flags.py:
test_tensorflow_still_turns_determinism_off_again and test_tensorflow_still_tells_of_onednn.
"""

from __future__ import annotations

from tensorflow.python.framework import config
from tensorflow.python.util import _pywrap_util_port as build_flags

from fitx.compat.required_names import demand

demand(config, "enable_op_determinism", "disable_op_determinism", "is_op_determinism_enabled")
demand(build_flags, "IsMklEnabled")


def set_determinism(is_wanted: bool) -> None:
    """Demand operations that repeat to the bit, or take any again."""
    if is_wanted:
        config.enable_op_determinism()
    else:
        config.disable_op_determinism()


def uses_onednn() -> bool:
    """Return whether oneDNN computes on the CPU."""
    return bool(build_flags.IsMklEnabled())
