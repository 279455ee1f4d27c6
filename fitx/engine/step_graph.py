"""One batch of a step as one graph: what every way of executing the step is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import tensorflow as tf

from fitx.compat.convolution import to_one_channel_as_products
from fitx.compat.sample_weight_ranks import by_example
from fitx.compat.stateful_random import Streams
from fitx.engine.epoch_logs import EpochLogs
from fitx.engine.loops import retracing
from fitx.errors import UserCodeError

StepMethod = Callable[[Any], dict[str, Any]]

_READING = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape")
"""Operations that take a variable and leave it as it is."""


class StepGraph:
    """A step method as a graph that takes one batch, and feeds what it logs.

    It is traced once for each kind of batch, and every mode calls that one graph: the modes
    compute the same, and pay for the user's Python once. Of a third kind it warns.

    Args:
        method: `train_step` or `test_step`.
        log: Where what it returns is gathered.

    Attributes:
        run: The same as a function, to be called while a graph is traced.
        newest: The graph that was traced last; None before the first.
    """

    def __init__(self, method: StepMethod, log: EpochLogs) -> None:
        self.log = log
        self._name = getattr(method, "__name__", "the step")

        @tf.autograph.experimental.do_not_convert
        def one_batch(data: Any) -> dict[str, Any]:
            return log.record(_dictionary(method, data), data)

        self.run = one_batch
        self._graphs: dict[Any, Any] = {}
        self._streams = Streams(self._name)
        self.newest: Any = None

    @property
    def graphs(self) -> list[Any]:
        """The graphs that were traced, the first first."""
        return list(self._graphs.values())

    def graph(self, spec: Any) -> Any:
        """Return the graph for batches of a kind, traced now if it was not yet.

        Args:
            spec: What a dataset of such batches gives as its `element_spec`.
        """
        kind = kind_of(spec)
        if kind not in self._graphs:
            if len(self._graphs) == retracing.MOST_TRACES:
                retracing.warn(self._name, spec_of(self.newest), spec)
            self.newest = self._graphs[kind] = self.traced(self.run, spec)
        return self._graphs[kind]

    def traced(self, function: Callable[[Any], Any], spec: Any) -> Any:
        """Trace a function of a batch that calls `run`."""
        # A function of its own: one that has a graph for any size gives that for each size.
        with to_one_channel_as_products(), self._streams.used(), by_example():
            return tf.function(function).get_concrete_function(spec)

    def graph_for_rows(self, graph: Any, rows: int) -> Any:
        """Return a graph in the form that takes batches of so many rows and no others."""
        spec = spec_of(graph)
        return self.graph(tf.nest.map_structure(partial(with_rows, rows=rows), spec))


def captured_variables(graphs: Iterable[Any]) -> list[tf.Variable]:
    """Return the variables that traced graphs use, in the order in which they first do, each once.

    Those that a step made nowhere but in Python are among them, and those that Keras draws from.
    """
    found = {id(v): v for graph in graphs for v in _variables(graph).values()}
    return list(found.values())


def assigned_variables(graph: Any) -> list[tf.Variable]:
    """Return the variables that a traced graph may change; the others it only reads.

    What takes a variable to hand it on, such as a loop or a function, may change it.
    """
    inside = {id(outside): tensor for outside, tensor in graph.graph.captures}
    named = _variables(graph).items()
    return [variable for key, variable in named if not _is_only_read(inside[key])]


def _variables(graph: Any) -> dict[int, tf.Variable]:
    """Return the variables that a graph uses, by the `id` of what stands for each outside."""
    known = {id(variable.handle): variable for variable in graph.graph.variables}
    outside = (id(tensor) for tensor, _ in graph.graph.captures)
    # What the graph lists has no order that another process would find again.
    return {key: known[key] for key in outside if key in known}


def _is_only_read(tensor: tf.Tensor) -> bool:
    return all(operation.type in _READING for operation in tensor.consumers())


def spec_of(graph: Any) -> Any:
    """Return the spec of the batches that a traced graph takes."""
    return graph.structured_input_signature[0][0]


def with_rows(spec: tf.TensorSpec, rows: int | None) -> tf.TensorSpec:
    """Return the spec of an array with so many rows; None stands for any number."""
    return tf.TensorSpec((rows, *spec.shape[1:]), spec.dtype)


def kind_of(spec: Any) -> Any:
    """Return what tells a kind of batches from others, as the key of a dictionary."""
    return (str(spec), tuple(tf.nest.flatten(spec)))


def _dictionary(method: StepMethod, data: Any) -> dict[str, Any]:
    returned = method(data)
    name = getattr(method, "__name__", "the step")
    if not isinstance(returned, dict):
        text = f"{name} returned {type(returned).__name__}; it must return a dictionary of values."
        raise UserCodeError(text)
    for key in returned:
        if not isinstance(key, str) or not key:
            raise UserCodeError(f"{name} returned the name {key!r}; names are words.")
    return returned
