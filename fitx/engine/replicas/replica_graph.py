"""Graphs of a step that several devices compute together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from fitx.compat.sample_weight_ranks import by_example
from fitx.engine.replicas import shared_steps
from fitx.engine.step_graph import StepGraph, spec_key


class ReplicaGraph:
    """A step method as graphs that take a whole batch and give each replica its rows.

    Args:
        step_graph: The step, as one replica runs it.
        strategy: The strategy under whose scope the step was made.
    """

    def __init__(self, step_graph: StepGraph, strategy: tf.distribute.Strategy) -> None:
        self.log = step_graph.log
        self._step_graph, self._strategy = step_graph, strategy
        self._graphs: dict[Any, Any] = {}

    @property
    def graphs(self) -> list[Any]:
        """The traced graphs, in the order in which they were traced."""
        return list(self._graphs.values())

    def graph(self, spec: Any, *, returns_values: bool = False) -> Any:
        """Return the graph for batches of a spec; trace it on the first call.

        Args:
            spec: The `element_spec` of such batches, with their number of rows.
            returns_values: Whether the graph returns the values of the batch, which costs a
                reduction over the replicas.
        """
        key = (spec_key(spec), returns_values)
        if key not in self._graphs:
            function = self._run_with_values if returns_values else self.run
            self._graphs[key] = self.trace(function, spec)
        return self._graphs[key]

    def trace(self, function: Callable[[Any], Any], spec: Any) -> Any:
        """Return the graph of a function of a batch that calls `run`."""
        count = self._strategy.num_replicas_in_sync
        is_shared = all(part.shape[0] % count == 0 for part in tf.nest.flatten(spec))
        with shared_steps.replicas_traced(is_shared), by_example():
            return tf.function(function).get_concrete_function(spec)

    @tf.autograph.experimental.do_not_convert
    def run(self, data: Any) -> dict[str, Any]:
        """Run the step on every replica, to be called while a graph is traced."""
        self._strategy.run(self._run_without_values, args=(data,))
        return {}

    @tf.autograph.experimental.do_not_convert
    def _run_with_values(self, data: Any) -> dict[str, Any]:
        values = self._strategy.run(self._run_on_replica, args=(data,))
        mean = tf.distribute.ReduceOp.MEAN
        return {name: self._strategy.reduce(mean, v, axis=None) for name, v in values.items()}

    @tf.autograph.experimental.do_not_convert
    def _run_without_values(self, data: Any) -> None:
        self._run_on_replica(data)

    @tf.autograph.experimental.do_not_convert
    def _run_on_replica(self, data: Any) -> dict[str, Any]:
        # Sliced on the host, so that each device is sent only its own rows.
        with tf.device("/CPU:0"):
            rows = tf.nest.map_structure(shared_steps.own_rows, data)
        counted = self.log.step.metrics_variables if shared_steps.is_redundant() else []
        before = [tf.identity(variable.value) for variable in counted]
        values: dict[str, Any] = self._step_graph.run(rows)
        for variable, value in zip(counted, before, strict=True):
            variable.assign(value)
        return values
