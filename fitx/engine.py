"""How a step is executed: one batch a call, in one graph, and what it returns logged correctly.

`fit` stays the loop. It calls the functions made here, which take a batch from the iterator,
run the step, and feed what the step returns to means over the epoch; nothing comes back to
Python until somebody asks for the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from fitx.errors import UserCodeError

StepMethod = Callable[[Any], dict[str, Any]]


class LossMean(keras.metrics.Mean):
    """The mean behind the logged `loss`; knows whether the step feeds it.

    Keras keeps this metric for every compiled model and logs 0.0 for a step that returns its
    loss without feeding it.
    """

    fed = False

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take one batch's loss into the mean."""
        self.fed = True
        super().update_state(values, sample_weight)


class Log:
    """What a step returns, as values of a whole epoch.

    A returned name that is one of the step's metrics logs that metric. Any other returned
    scalar is averaged over the epoch, weighted by the batch size.
    """

    def __init__(self, step: keras.Model) -> None:
        self.step = step
        self.names: tuple[str, ...] | None = None
        self.means: dict[str, keras.metrics.Mean] = {}

    def record(self, returned: dict[str, Any], data: Any) -> dict[str, Any]:
        """Feed the means from what one batch returned; called while the step is traced."""
        values = dict(_flat(returned))
        metrics = dict(_named_metrics(self.step))
        tracker = metrics.get("loss")
        if isinstance(tracker, LossMean) and not tracker.fed:
            del metrics["loss"]
        size = tf.shape(tf.nest.flatten(data)[0])[0]
        for name, value in values.items():
            if name not in metrics:
                self._mean(name).update_state(_scalar(name, value), sample_weight=size)
        self.names = tuple(values)
        return values

    def result(self) -> dict[str, Any]:
        """Return the values logged so far in this epoch."""
        metrics = dict(_named_metrics(self.step))
        sources = {name: self.means.get(name) or metrics[name] for name in self.names or ()}
        return {name: metric.result() for name, metric in sources.items()}

    def reset(self) -> None:
        """Begin a new epoch."""
        for mean in self.means.values():
            mean.reset_state()

    def _mean(self, name: str) -> keras.metrics.Mean:
        if name not in self.means:
            # The step is being traced, and a variable made inside the graph would be lost.
            with tf.init_scope():
                self.means[name] = keras.metrics.Mean(name=name, dtype="float32")
        return self.means[name]


class StepFunction:
    """A step method compiled to a graph that `fit` or `evaluate` calls once a batch."""

    def __init__(self, method: StepMethod, log: Log, *, returns_values: bool) -> None:
        self.log = log

        @tf.autograph.experimental.do_not_convert
        def one_step(iterator: Any) -> dict[str, Any]:
            data = iterator.get_next()
            values = log.record(_dictionary(method, data), data)
            return values if returns_values else {}

        self._one_step = tf.function(one_step, reduce_retracing=True)

    def __call__(self, iterator: Any) -> Any:
        """Run one batch; return its values where a callback reads them, else nothing."""
        return self._one_step(iterator)

    def trace(self, dataset: tf.data.Dataset) -> tuple[str, ...]:
        """Trace the step on a dataset's shapes, running nothing; return the names it logs."""
        self._one_step.get_concrete_function(tf.data.IteratorSpec(dataset.element_spec))
        return self.log.names or ()


def _dictionary(method: StepMethod, data: Any) -> dict[str, Any]:
    returned = method(data)
    if not isinstance(returned, dict):
        name = getattr(method, "__name__", "the step")
        text = f"{name} returned {type(returned).__name__}; it must return a dictionary of values."
        raise UserCodeError(text)
    return returned


def _flat(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (name, value), those of nested dictionaries too, as Keras logs compiled metrics."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value)
        else:
            yield name, value


def _named_metrics(step: keras.Model) -> Iterator[tuple[str, Any]]:
    """Yield (logged name, metric); of Keras' bundle of compiled metrics, each one in it."""
    for metric in step.metrics:
        inner = metric.metrics if hasattr(metric, "metrics") else [metric]
        yield from ((m.name, m) for m in inner)


def _scalar(name: str, value: Any) -> Any:
    tensor = tf.convert_to_tensor(value)
    if tensor.shape.rank not in (0, None):
        text = f"the step returned '{name}' of shape {tuple(tensor.shape)}; return one number."
        raise UserCodeError(text)
    return tf.cast(tensor, "float32")
