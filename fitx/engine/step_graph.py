"""One batch of a step as a graph, on which all modes of execution are built."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from fitx.compat.convolution import to_one_channel_as_products
from fitx.compat.sample_weight_ranks import by_example
from fitx.compat.stateful_random import Streams
from fitx.data.batch_layout import Rows
from fitx.engine.epoch_logs import EpochLogs
from fitx.errors import UserCodeError

StepMethod = Callable[[Any], dict[str, Any]]

EXPECTED_TRACES = 2
"""Traces without a warning: one for batches of a fixed size, one for batches of any size."""

_READING = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape")
"""Operations that take a variable as input and do not change it."""

_PARTS = ("x", "y", "sample_weight")
"""Names of the parts of a batch, as a step calls them."""


class StepGraph:
    """A step method as graphs that take one batch and update what the step logs.

    A graph is traced once for each kind of batch, and all modes call that graph. They compute the
    same, and the user's Python runs once. A warning is given when a third kind is traced.

    Args:
        method: `train_step` or `test_step`.
        log: Collects what the method returns.

    Attributes:
        run: The method with its logging, to be called while another graph is traced.
        newest: The graph that was traced last; None before the first.
    """

    def __init__(self, method: StepMethod, log: EpochLogs) -> None:
        self.log = log
        self._name = getattr(method, "__name__", "the step")

        @tf.autograph.experimental.do_not_convert
        def one_batch(data: Any) -> dict[str, Any]:
            return log.record(_returned(method, data), data)

        self._method = method
        self.run = one_batch
        self._graphs: dict[Any, Any] = {}
        self._streams = Streams(self._name)
        self.newest: Any = None

    @property
    def graphs(self) -> list[Any]:
        """The traced graphs, in the order in which they were traced."""
        return list(self._graphs.values())

    def graph(self, spec: Any) -> Any:
        """Return the graph for batches of a spec; trace it on the first call.

        Args:
            spec: The `element_spec` of a dataset of such batches.
        """
        key = spec_key(spec)
        if key not in self._graphs:
            if len(self._graphs) == EXPECTED_TRACES:
                _warn_of_retracing(self._name, spec_of(self.newest), spec)
            self.newest = self._graphs[key] = self.trace(self.run, spec)
        return self._graphs[key]

    def trace(self, function: Callable[[Any], Any], spec: Any) -> Any:
        """Return the graph of a function of a batch that calls `run`."""
        # A new tf.function each time: one function would use a graph for batches of any size for
        # every size.
        with to_one_channel_as_products(), self._streams.used(), by_example():
            return tf.function(function).get_concrete_function(spec)

    def run_eagerly(self, batch: Any) -> dict[str, Any]:
        """Run one batch as Python, once the step is traced, and log and return its values."""
        with to_one_channel_as_products(), self._streams.used(eagerly=True), by_example():
            return self.log.add(_returned(self._method, batch), batch)

    def graph_for_rows(self, graph: Any, rows: Rows) -> Any:
        """Return the graph that takes the batches of another one, if they have `rows` rows."""
        return self.graph(batch_with_rows(spec_of(graph), rows))


def captured_variables(graphs: Iterable[Any]) -> list[tf.Variable]:
    """Return the variables that traced graphs use, each once, in the order of their first use.

    They include variables that only Python code holds, and those of Keras' random generators.
    """
    variables = {id(v): v for graph in graphs for v in _by_capture(graph).values()}
    return list(variables.values())


def assigned_variables(graph: Any) -> list[tf.Variable]:
    """Return the variables that a traced graph may change.

    A variable that is passed on, to a loop or a function, counts as one that may change.
    """
    inside = {id(outside): tensor for outside, tensor in graph.graph.captures}
    variables = _by_capture(graph).items()
    return [variable for key, variable in variables if not _is_only_read(inside[key])]


def _by_capture(graph: Any) -> dict[int, tf.Variable]:
    """Return the variables that a graph captured, by the `id` of their handles."""
    variables = {id(variable.handle): variable for variable in graph.graph.variables}
    captures = (id(outside) for outside, _ in graph.graph.captures)
    # `graph.variables` alone has an order that another process would not reproduce.
    return {key: variables[key] for key in captures if key in variables}


def _is_only_read(tensor: tf.Tensor) -> bool:
    return all(operation.type in _READING for operation in tensor.consumers())


def spec_of(graph: Any) -> Any:
    """Return the spec of the batches that a traced graph takes."""
    return graph.structured_input_signature[0][0]


def with_rows(spec: tf.TensorSpec, rows: int | None) -> tf.TensorSpec:
    """Return the spec of an array with `rows` rows; None stands for any number."""
    return tf.TensorSpec((rows, *spec.shape[1:]), spec.dtype)


def batch_with_rows(spec: Any, rows: Rows) -> Any:
    """Return the spec of batches with so many rows, or with so many of each stream."""
    if isinstance(rows, dict):
        return {name: batch_with_rows(part, rows[name]) for name, part in spec.items()}
    return tf.nest.map_structure(partial(with_rows, rows=rows), spec)


def spec_key(spec: Any) -> Any:
    """Return a dictionary key that is equal for equal specs of batches."""
    return (str(spec), tuple(tf.nest.flatten(spec)))


def _returned(method: StepMethod, data: Any) -> dict[str, Any]:
    """Call a step's method and check what it returns."""
    returned = method(data)
    name = getattr(method, "__name__", "the step")
    if not isinstance(returned, dict):
        text = f"{name} returned {type(returned).__name__}; it must return a dictionary of values."
        raise UserCodeError(text)
    for key in returned:
        if not isinstance(key, str) or not key:
            text = f"{name} returned the name {key!r}; names must be non-empty strings."
            raise UserCodeError(text)
    return returned


def _warn_of_retracing(method: str, before: Any, after: Any) -> None:
    """Warn that a step is traced for more kinds of batches than expected.

    Args:
        method: Name of the step's method.
        before: The spec of the batches of the last trace.
        after: The spec of the batches of this trace.
    """
    warnings.warn(
        f"{method} is traced for the {EXPECTED_TRACES + 1}rd time, because {_change(before, after)}"
        ". Each kind of batch costs a trace, and in an XLA mode a compilation: pad to one shape, "
        "keep one dtype, and drop a shorter last batch with `data.drop_remainder`.",
        stacklevel=3,
    )


def _change(before: Any, after: Any) -> str:
    """Say which array of a batch changed, and how."""
    old, new = _arrays(before), _arrays(after)
    for name, description in new.items():
        if name not in old:
            return f"{name} is new"
        if old[name] != description:
            return f"{name} was {old[name]} and is {description}"
    missing = [name for name in old if name not in new]
    return f"{missing[0]} is missing" if missing else "the batch has another structure"


def _arrays(spec: Any) -> dict[str, str]:
    """Return the dtype and shape of every array of a batch, by the name that a step gives it."""
    is_split = isinstance(spec, tuple | list) and len(spec) <= len(_PARTS)
    arrays = {}
    for path, leaf in keras.tree.flatten_with_path(spec):
        first, rest = (_PARTS[path[0]], path[1:]) if is_split else ("x", path)
        arrays[first + "".join(f"[{key!r}]" for key in rest)] = f"{leaf.dtype.name} {leaf.shape}"
    return arrays
