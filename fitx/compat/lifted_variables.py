"""Creates variables during tracing that `tf.function` does not count as created by the function.

`tf.function` creates variables of its own kind within a trace, and traces a second time if there
was one. The means that fitx keeps, and the states of random operations, are created during tracing
too, but need no second trace: TensorFlow's default creator, which is private, creates them, below
the creators of distribution strategies, whose order is private too.
Tests that fail when TensorFlow changes: tests/compat/test_lifted_variables.py:
test_tensorflow_still_traces_once_where_variables_are_lifted and
test_tensorflow_still_lets_a_strategy_make_lifted_variables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops

from fitx.compat.required_names import demand

demand(resource_variable_ops, "default_variable_creator_v2")
demand(tf.Graph, "_variable_creator_scope")

_PRIORITY = 75
"""Above that of `tf.function`, which is 50, and below that of strategies, which is 100."""


@contextmanager
def lifted_variables() -> Iterator[None]:
    """Make variables outside the graph being traced, unseen by `tf.function`."""

    def creator(following: Any, **keywords: Any) -> Any:
        return resource_variable_ops.default_variable_creator_v2(None, **keywords)

    with tf.init_scope():
        graph = tf.compat.v1.get_default_graph()
        with graph._variable_creator_scope(creator, priority=_PRIORITY):
            yield
