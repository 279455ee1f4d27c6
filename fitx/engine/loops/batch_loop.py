"""Functions that run one batch a call: on one device, on several, or on batches of a callback."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
import tensorflow as tf

from fitx.engine.epoch_logs import Logs
from fitx.engine.replicas.replica_graph import ReplicaGraph
from fitx.engine.step_graph import StepGraph, with_rows


class PlainFunction:
    """A function that `fit` or `evaluate` calls once a batch, with an iterator over batches.

    Args:
        step_graph: The step.
        returns_values: Whether a callback reads the values of each batch.
    """

    def __init__(self, step_graph: StepGraph, *, returns_values: bool) -> None:
        self.log = step_graph.log
        self._returns_values = returns_values
        self._no_values = Logs(step_graph.log, {})
        self._iterator: Any = None
        self._graph: Any = None

        @tf.autograph.experimental.do_not_convert
        def next_batch(iterator: Any) -> dict[str, Any]:
            values = step_graph.graph(iterator.element_spec)(iterator.get_next())
            return values if returns_values else {}

        self._next_batch = tf.function(next_batch)

    def __call__(self, iterator: Any) -> Logs:
        """Run one batch; return its values if a callback reads them, else nothing."""
        if iterator is not self._iterator:
            # Looking up the graph takes a quarter of a small step's time, so it is kept.
            self._graph = self._next_batch.get_concrete_function(iterator)
            self._iterator = iterator
        self.log.running = True
        values = self._graph(iterator)
        return Logs(self.log, values) if self._returns_values else self._no_values


class EagerFunction:
    """A function that `fit` or `evaluate` calls once a batch, which runs the step as Python.

    Args:
        step_graph: The step, traced before.
        returns_values: Whether a callback reads the values of each batch.
    """

    def __init__(self, step_graph: StepGraph, *, returns_values: bool) -> None:
        self.log = step_graph.log
        self._step_graph, self._returns_values = step_graph, returns_values

    def __call__(self, iterator: Any) -> Logs:
        """Run one batch; return its values if a callback reads them, else nothing."""
        batch = next(iterator)
        self.log.running = True
        values = self._step_graph.run_eagerly(batch)
        return Logs(self.log, values if self._returns_values else {})


class DistributedFunction:
    """A function that `fit` or `evaluate` calls once a batch, computed by several devices.

    Every process of a strategy gets the same batches; each replica takes its rows of them.

    Args:
        replica_graph: The step.
        returns_values: Whether a callback reads the values of each batch.
    """

    def __init__(self, replica_graph: ReplicaGraph, *, returns_values: bool) -> None:
        self.log = replica_graph.log
        self._replica_graph, self._returns_values = replica_graph, returns_values

    def __call__(self, iterator: Any) -> Logs:
        """Run one batch; return its values if a callback reads them, else nothing."""
        batch = next(iterator)
        graph = self._replica_graph.graph(_spec(batch), returns_values=self._returns_values)
        self.log.running = True
        return Logs(self.log, graph(batch))


BatchFunction: TypeAlias = PlainFunction | EagerFunction | DistributedFunction


class SkippingFunction:
    """Runs one batch a call, and nothing in the first calls, whose steps are skipped."""

    def __init__(self, function: BatchFunction, skip_steps: int) -> None:
        self._function, self._skip_steps = function, skip_steps

    def __call__(self, iterator: Any) -> Logs:
        """Run one batch, or nothing."""
        if self._skip_steps:
            self._skip_steps -= 1
            return Logs(self._function.log, {})
        return self._function(iterator)


class AdHocFunction:
    """A function that Keras calls once a batch of data which the experiment does not feed.

    That is the data that a callback passes to `evaluate`, `test_on_batch` or `train_on_batch`.
    Batches may have any number of rows: one graph, without XLA, takes them all.

    Args:
        graphs: The step.
        returns_results: Whether a call returns the values logged since the metrics were reset.
    """

    def __init__(self, graphs: StepGraph | ReplicaGraph, *, returns_results: bool) -> None:
        self.log = graphs.log
        self._graphs, self._returns_results = graphs, returns_results

    def __call__(self, iterator: Any) -> Logs:
        """Run one batch."""
        # Taken before the graph runs. Inside the graph, operations that need no data would run
        # once more when the data ends.
        batch = _like_the_experiments(next(iterator))
        spec = _spec(batch)
        if isinstance(self._graphs, StepGraph):
            spec = tf.nest.map_structure(_any_rows, spec)
        graph = self._graphs.graph(spec)
        self.log.running = True
        graph(batch)
        return Logs(self.log, self.log.result(everywhere=True) if self._returns_results else {})


def _spec(batch: Any) -> Any:
    return tf.nest.map_structure(tf.type_spec_from_value, batch)


def _any_rows(spec: Any) -> Any:
    return with_rows(spec, None) if isinstance(spec, tf.TensorSpec) and spec.shape.rank else spec


def _like_the_experiments(batch: Any) -> Any:
    """Return a batch as x, (x, y) or (x, y, sample_weight), of tensors."""
    if isinstance(batch, tuple):
        parts = tuple(part for part in batch if part is not None)
        batch = parts if len(parts) > 1 or isinstance(parts[0], tuple) else parts[0]
    return tf.nest.map_structure(_tensor, batch)


def _tensor(value: Any) -> Any:
    if tf.is_tensor(value):
        return value
    tensor = tf.convert_to_tensor(value)
    return tf.cast(tensor, keras.config.floatx()) if tensor.dtype == tf.float64 else tensor
