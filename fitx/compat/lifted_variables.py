"""Variables made while a step is traced, for what fitx itself keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import default_variable_creator_v2


@contextmanager
def lifted_variables() -> Iterator[None]:
    """Make variables outside the graph being traced, which would lose them.

    `tf.function` does not see them made either, after which it would trace the step once more.
    """

    def creator(following: Any, **keywords: Any) -> Any:
        return default_variable_creator_v2(None, **keywords)

    with tf.init_scope():
        graph = tf.compat.v1.get_default_graph()
        # Above the creator of `tf.function`, and below those of distribution strategies.
        with graph._variable_creator_scope(creator, priority=75):
            yield
