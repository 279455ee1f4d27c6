"""Finds the metrics that a step updates, and the metric behind each returned number.

A step returns numbers, such as `self.loss_tracker.result()`. To log them correctly, the graph being
traced is searched from each number back to its inputs. For example, `DivNoNan(total, count)` ends
at two variables of one metric and at nothing else, so it is a result over all batches so far;
`Mean(Sub(y, y_pred))` ends at the batch, so it is a value of one batch.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from fitx.compat.function_graphs import called, captures, operations, scratch_graph
from fitx.compat.loss_tracker import loss_tracker
from fitx.errors import UserCodeError


def flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) pairs; compiled metrics of Keras come as nested dictionaries."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value)
        else:
            yield name, value


def fed_names(metric: Any) -> tuple[str, ...]:
    """Return the names that a metric logs; none if the graph being traced does not update it."""
    uses = [op.type for tensor in _placeholders(metric) for op in tensor.consumers()]
    if all(use == "ReadVariableOp" for use in uses):
        return ()
    # In a graph that is discarded, because computing the result adds operations.
    with scratch_graph():
        return tuple(results_of(metric))


class Sources:
    """The metrics of a graph being traced whose results must not be logged as they are.

    Args:
        step: The step that is traced.
        fed: The `id`s of the metrics of the step that the graph updates.
    """

    def __init__(self, step: keras.Model, fed: set[int]) -> None:
        self._loss = untouched_loss(step)
        others = (metric for metric in step.metrics if metric not in self._loss)
        self._unfed = [metric for metric in others if id(metric) not in fed]
        self._unlisted = _unlisted_metrics(step)

    def is_untouched_loss(self, number: tf.Tensor) -> bool:
        """Return whether a number comes from a loss tracker of Keras that is not updated."""
        return is_gathered(number, self._loss)

    def check(self, name: str, number: tf.Tensor) -> None:
        """Refuse a result that would be wrong in every epoch, or in all but the first.

        Raises:
            UserCodeError: The number is such a result; the message says how to log the right one.
        """
        if is_gathered(number, self._unfed):
            raise UserCodeError(
                f"the step returned '{name}', the result of a metric that it does not update: it "
                "would stay at its first value. Call the metric's update_state in this method, or "
                "return another value."
            )
        if is_gathered(number, self._unlisted):
            raise UserCodeError(
                f"the step returned '{name}', the result of a metric that is not among the step's "
                "metrics: nothing would reset it when an epoch begins. Keep the metric as an "
                "attribute of the step, or list it in a `metrics` property."
            )


def untouched_loss(step: keras.Model) -> list[keras.metrics.Metric]:
    """Return Keras' own loss tracker, if the graph being traced does not update it."""
    tracker = loss_tracker(step)
    if tracker is None or tf.executing_eagerly() or fed_names(tracker):
        return []
    return [tracker]


def unfed_metrics(step: keras.Model) -> list[keras.metrics.Metric]:
    """Return the metrics of a step that the graph being traced does not update."""
    if tf.executing_eagerly():
        return []
    return [metric for metric in step.metrics if not fed_names(metric)]


def _unlisted_metrics(step: keras.Model) -> list[keras.metrics.Metric]:
    """Return the metrics that the graph being traced uses and `step.metrics` does not list.

    Any object may hold such a metric, a module for example, so all objects of the process are
    searched. This is done only if the graph uses variables that are not the step's.
    """
    handles = {id(outside) for outside, _ in captures()}
    owners = [step, *step.metrics, *step.execution.contents.optimizers.values()]
    listed_variables = [variable for owner in owners for variable in owner.variables]
    known_handles = {
        id(variable.value.handle) for variable in listed_variables if _has_handle(variable)
    }
    if not handles - known_handles:
        return []
    listed = {id(metric) for metric in step.metrics}
    metrics = [o for o in gc.get_objects() if isinstance(o, keras.metrics.Metric)]
    # A metric whose constructor raised has no variables.
    metrics = [metric for metric in metrics if hasattr(metric, "variables")]
    unlisted = [m for m in metrics if id(m) not in listed and all(map(_has_handle, m.variables))]
    used = [m for m in unlisted if _placeholders(m)]
    # Keras' listed container of compiled metrics holds metrics that are not listed themselves.
    return [m for m in used if not known_handles & {id(v.handle) for v in m.variables}]


def _has_handle(variable: Any) -> bool:
    return hasattr(getattr(variable, "value", None), "handle")


def is_gathered(number: tf.Tensor, metrics: Iterable[Any]) -> bool:
    """Return whether a number comes from these metrics alone, and so from all batches so far."""
    inside = {tensor.name for metric in metrics for tensor in _placeholders(metric)}
    to_visit, seen = [number], set[str]()
    while to_visit:
        tensor = to_visit.pop()
        if tensor.name in seen:
            continue
        seen.add(tensor.name)
        if tensor.op.inputs and tensor.name not in inside:
            to_visit.extend(tensor.op.inputs)
        elif tensor.op.type != "Const" and tensor.name not in inside:
            return False
    return bool(seen & inside)


def is_state(number: tf.Tensor, step: keras.Model) -> bool:
    """Return whether a number comes from variables alone, none of them trained or a random state.

    A learning rate and a probability are such numbers: they do not measure a batch.
    """
    trained = {id(v.handle) for v in step.trainable_variables if _has_handle(v)}
    handles = [pair for pair in captures() if pair[0].dtype == tf.resource]
    inside = {placeholder.name for handle, placeholder in handles if id(handle) not in trained}
    to_visit, seen = [number], set[str]()
    while to_visit:
        tensor = to_visit.pop()
        if tensor.name in seen:
            continue
        seen.add(tensor.name)
        if tensor.name in inside:
            continue
        is_source = not tensor.op.inputs and tensor.op.type != "Const"
        if is_source or _draws_numbers(tensor.op):
            return False
        to_visit.extend(tensor.op.inputs)
    return bool(seen & inside)


def _draws_numbers(op: tf.Operation) -> bool:
    inner = (one for graph in called(op) for one in operations(graph))
    return any("Random" in one.type for one in (op, *inner))


def _placeholders(metric: Any) -> list[tf.Tensor]:
    """Return the placeholders of a metric's variables in the graph being traced."""
    handles = {id(variable.handle) for variable in metric.variables}
    return [inside for outside, inside in captures() if id(outside) in handles]


def results_of(metric: Any, values: list[Any] | None = None) -> dict[str, Any]:
    """Return the results of a metric by name; Keras' container of compiled metrics has several.

    Args:
        metric: The metric.
        values: Values for its variables; None takes the current ones.
    """
    result = metric.result() if values is None else metric.stateless_result(values)
    return dict(flat(result)) if isinstance(result, dict) else {metric.name: result}
