"""One batch a call: the mode in which every step runs, and every callback sees every batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from fitx.engine.epoch_logs import Logs
from fitx.engine.step_graph import StepGraph


class PlainFunction:
    """What `fit` or `evaluate` calls once a batch, with an iterator over batches.

    Args:
        batch: The step as a graph.
        returns_values: Whether a callback reads the values of each batch.

    Attributes:
        passed: How many of the next batches ran before, and are passed over.
    """

    def __init__(self, batch: StepGraph, *, returns_values: bool) -> None:
        self.log = batch.log
        self.passed = 0
        self._returns_values = returns_values
        self._nothing = Logs(batch.log, {})
        self._iterator: Any = None
        self._graph: Any = None

        @tf.autograph.experimental.do_not_convert
        def next_batch(iterator: Any) -> dict[str, Any]:
            values = batch.graph(iterator.element_spec)(iterator.get_next())
            return values if returns_values else {}

        self._next_batch = tf.function(next_batch)

    def __call__(self, iterator: Any) -> Logs:
        """Run one batch; return its values where a callback reads them, else nothing."""
        if self.passed:
            self.passed -= 1
            return self._nothing
        if iterator is not self._iterator:
            # Finding the graph that fits costs a quarter of a small step, so it is found once.
            self._graph = self._next_batch.get_concrete_function(iterator)
            self._iterator = iterator
        self.log.running = True
        values = self._graph(iterator)
        return Logs(self.log, values) if self._returns_values else self._nothing
