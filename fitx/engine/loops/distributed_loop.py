"""One batch a call, computed by several devices at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from fitx.compat.sample_weight_ranks import by_example
from fitx.engine.epoch_logs import Logs
from fitx.engine.replicas import shared_steps
from fitx.engine.step_graph import StepGraph, kind_of


class DistributedFunction:
    """What `fit` or `evaluate` calls once a batch, with an iterator over whole batches.

    Every process of a strategy gets the same batches; each replica takes its rows of them.

    Args:
        batch: The step.
        strategy: Under whose scope the step was made.
        returns_values: Whether a callback reads the values of each batch.

    Attributes:
        passed: How many of the next batches ran before, and are passed over.
    """

    def __init__(
        self, batch: StepGraph, strategy: tf.distribute.Strategy, *, returns_values: bool
    ) -> None:
        self.log = batch.log
        self.passed = 0
        self._batch, self._strategy = batch, strategy
        self._returns_values = returns_values
        self._graphs: dict[Any, Any] = {}

    def __call__(self, iterator: Any) -> Logs:
        """Run one batch; return its values where a callback reads them, else nothing."""
        if self.passed:
            self.passed -= 1
            return Logs(self.log, {})
        batch = next(iterator)
        graph = self.graph(batch)
        self.log.running = True
        return Logs(self.log, graph(batch))

    @property
    def graphs(self) -> list[Any]:
        """The graphs that were traced, the first first."""
        return list(self._graphs.values())

    def graph(self, batch: Any) -> Any:
        """Return the graph for batches like this one, traced now if it was not yet."""
        spec = tf.nest.map_structure(lambda part: tf.TensorSpec(part.shape, part.dtype), batch)
        kind = kind_of(spec)
        if kind not in self._graphs:
            self._graphs[kind] = self.traced(self.run, spec)
        return self._graphs[kind]

    @tf.autograph.experimental.do_not_convert
    def run(self, data: Any) -> dict[str, Any]:
        """Run the step on every replica; called while a graph is traced."""
        values = self._strategy.run(self._on_replica, args=(data,))
        mean = tf.distribute.ReduceOp.MEAN
        return {name: self._strategy.reduce(mean, v, axis=None) for name, v in values.items()}

    def traced(self, function: Callable[[Any], Any], spec: Any) -> Any:
        """Trace a function of a batch that calls `run`."""
        rows, count = tf.nest.flatten(spec)[0].shape[0], self._strategy.num_replicas_in_sync
        with shared_steps.shared(rows % count == 0), by_example():
            return tf.function(function).get_concrete_function(spec)

    @tf.autograph.experimental.do_not_convert
    def _on_replica(self, data: Any) -> dict[str, Any]:
        # On the host, so that a device is sent its own rows only.
        with tf.device("/CPU:0"):
            rows = tf.nest.map_structure(shared_steps.own_rows, data)
        counted = self.log.step.metrics_variables if shared_steps.repeats() else []
        before = [tf.identity(variable.value) for variable in counted]
        values = self._batch.run(rows)
        for variable, value in zip(counted, before, strict=True):
            variable.assign(value)
        return values if self._returns_values else {}
