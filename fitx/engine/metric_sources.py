"""Metrics in the graph of a step: which it feeds, and which a returned number comes from."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from fitx.compat.function_graphs import captures, scratch_graph
from fitx.compat.loss_tracker import loss_tracker
from fitx.errors import UserCodeError


def flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (name, value), those of nested dictionaries too, as Keras logs compiled metrics."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value)
        else:
            yield name, value


def fed_names(metric: Any) -> tuple[str, ...]:
    """Return the names under which a metric logs, none if the graph being traced only reads it."""
    uses = [op.type for tensor in _inside(metric) for op in tensor.consumers()]
    if all(use == "ReadVariableOp" for use in uses):
        return ()
    # Asked in a graph that is thrown away, because asking adds operations.
    with scratch_graph():
        return tuple(results_of(metric))


class Sources:
    """The metrics that a graph being traced reads, by what the step does with them.

    Args:
        step: The step that is traced.
        fed: The `id`s of its metrics that the graph feeds.
    """

    def __init__(self, step: keras.Model, fed: set[int]) -> None:
        self._loss = untouched_loss(step)
        others = (metric for metric in step.metrics if metric not in self._loss)
        self._unfed = [metric for metric in others if id(metric) not in fed]
        self._elsewhere = _elsewhere(step)

    def is_untouched_loss(self, number: tf.Tensor) -> bool:
        """Whether a number is the result of Keras' loss tracker, which the step does not feed."""
        return is_gathered(number, self._loss)

    def check(self, name: str, number: tf.Tensor) -> None:
        """Refuse results of metrics that would be wrong in every epoch, or in all but the first.

        Raises:
            UserCodeError: The number is one; it says how to log the right value.
        """
        if is_gathered(number, self._unfed):
            raise UserCodeError(
                f"the step returned '{name}', the result of a metric that it does not update: it "
                "would stay at its first value. Call the metric's update_state in this method, or "
                "return another value."
            )
        if is_gathered(number, self._elsewhere):
            raise UserCodeError(
                f"the step returned '{name}', the result of a metric that is not among the step's "
                "metrics: nothing would reset it when an epoch begins. Keep the metric as an "
                "attribute of the step, or list it in a `metrics` property."
            )


def untouched_loss(step: keras.Model) -> list[keras.metrics.Metric]:
    """Return the loss tracker that Keras keeps, if the graph being traced does not feed it."""
    tracker = loss_tracker(step)
    if tracker is None or tf.executing_eagerly() or fed_names(tracker):
        return []
    return [tracker]


def _elsewhere(step: keras.Model) -> list[keras.metrics.Metric]:
    """Return the metrics that the graph being traced uses and `step.metrics` does not list.

    They may be anywhere, such as in a module or in an object that the step holds, so they are
    looked for among all objects; only where the graph uses variables that are not the step's.
    """
    handles = {id(outside) for outside, _ in captures()}
    known = [*step.variables, *(v for metric in step.metrics for v in metric.variables)]
    known_handles = {id(variable.value.handle) for variable in known if _has_handle(variable)}
    if not handles - known_handles:
        return []
    listed = {id(metric) for metric in step.metrics}
    found = [o for o in gc.get_objects() if isinstance(o, keras.metrics.Metric)]
    # One whose constructor raised has no variables yet.
    found = [metric for metric in found if hasattr(metric, "variables")]
    others = [m for m in found if id(m) not in listed and all(map(_has_handle, m.variables))]
    used = [m for m in others if _inside(m)]
    # The parts of a bundle of metrics that is listed are not.
    return [m for m in used if not known_handles & {id(v.handle) for v in m.variables}]


def _has_handle(variable: Any) -> bool:
    return hasattr(getattr(variable, "value", None), "handle")


def is_gathered(number: tf.Tensor, metrics: Iterable[Any]) -> bool:
    """Whether a number comes from these metrics alone, so that it speaks of all batches so far."""
    inside = {tensor.name for metric in metrics for tensor in _inside(metric)}
    waiting, seen = [number], set[str]()
    while waiting:
        tensor = waiting.pop()
        if tensor.name in seen:
            continue
        seen.add(tensor.name)
        if tensor.op.inputs and tensor.name not in inside:
            waiting.extend(tensor.op.inputs)
        elif tensor.op.type != "Const" and tensor.name not in inside:
            return False
    return bool(seen & inside)


def _inside(metric: Any) -> list[tf.Tensor]:
    """Return what stands for a metric's variables in the graph being traced."""
    handles = {id(variable.handle) for variable in metric.variables}
    return [inside for outside, inside in captures() if id(outside) in handles]


def results_of(metric: Any, values: list[Any] | None = None) -> dict[str, Any]:
    """Return what a metric gives, by name; Keras' bundle of compiled metrics gives several.

    Args:
        metric: The metric.
        values: Of its variables; None takes those they have.
    """
    result = metric.result() if values is None else metric.stateless_result(values)
    return dict(flat(result)) if isinstance(result, dict) else {metric.name: result}
