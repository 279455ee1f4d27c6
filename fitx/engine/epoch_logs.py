"""Logs the values that a step returns as values of a whole epoch, in every execution mode."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fitx.compat.lifted_variables import lifted_variables
from fitx.engine.metric_sources import (
    Sources,
    fed_names,
    flat,
    is_gathered,
    is_state,
    results_of,
)
from fitx.engine.replicas import replica_variables, shared_steps
from fitx.errors import UserCodeError


class NotOneNumber(UserCodeError):
    """A value that a step returned, or the result of one of its metrics, is not one number.

    Args:
        name: The name of the value.
        description: A description of the value.
    """

    def __init__(self, name: str, description: str) -> None:
        super().__init__(f"the step returned '{name}' as {description}; return one number.")
        self.name, self.description = name, description


class EpochLogs:
    """Collects the values that one method of a step returns over an epoch.

    A returned name that is one of the step's metrics logs that metric, if the step updates it. A
    value computed from metrics alone, under whatever name, is logged as it is at the end, and so
    is one of other variables alone that are not trained, such as a learning rate. Any other
    returned scalar is averaged over the epoch, weighted by the batch size. Keras' own loss
    tracker is left out if the step does not update it; the result of any other metric that is not
    updated, or not reset with each epoch, is an error.

    Attributes:
        means: Metrics of fitx for the returned values that are no metrics of the step, by name.
        fed: Names of the metrics that the traced step updates, whether or not it returns them.
        running: Whether batches have been logged since the last result of an epoch.
        stream: The name of the stream whose rows count, where a batch has several.
    """

    def __init__(self, step: keras.Model) -> None:
        self.step = step
        self.means: dict[str, keras.metrics.Metric] = {}
        self.running = False
        self.stream = ""
        self.fed: set[str] = set()
        self._sources: dict[str, Any] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the logged values, as the step returns them; empty before a trace."""
        return tuple(self._sources)

    def record(self, returned: dict[str, Any], data: Any) -> dict[str, Any]:
        """Update the means by the values that one batch returned; called while a step is traced."""
        values = dict(flat(returned))
        # Keras keeps a metric `loss` for every model. A step that returns its loss without
        # updating that metric would log 0.0, so only metrics that this trace updates are used.
        fed = {name: metric for metric in self.step.metrics for name in fed_names(metric)}
        self.fed |= fed.keys()
        size = 0 if shared_steps.is_redundant() else self._rows(data)
        self._sources = {}
        sources = Sources(self.step, set(map(id, fed.values())))
        for name, value in values.items():
            number = _number(name, value)
            if name not in fed and sources.is_untouched_loss(number):
                continue
            if name not in fed:
                sources.check(name, number)
                is_last = is_gathered(number, self.step.metrics) or is_state(number, self.step)
                kind = LastValue if is_last else keras.metrics.Mean
                self._mean(name, kind).update_state(number, sample_weight=size)
            self._sources[name] = fed.get(name) or self.means[name]
        return values

    def add(self, returned: dict[str, Any], data: Any) -> dict[str, Any]:
        """Update the means by the values of one batch that ran as Python, as the trace does."""
        values, size = dict(flat(returned)), self._rows(data)
        for name, source in self._sources.items():
            mean = self.means.get(name)
            if mean is not None and mean is source and name in values:
                mean.update_state(_number(name, values[name]), sample_weight=size)
        return values

    def _rows(self, data: Any) -> tf.Tensor:
        counted = data[self.stream] if self.stream and self.stream in data else data
        return tf.shape(tf.nest.flatten(counted)[0])[0]

    def result(self, *, everywhere: bool = False) -> dict[str, float]:
        """Return the values logged so far in this epoch; waits for the device.

        Args:
            everywhere: Include the values of other processes, which must call this too.
        """
        sources = {id(source): source for source in self._sources.values()}
        results = {key: self._results(s, everywhere) for key, s in sources.items()}
        return {name: float(results[id(s)][name]) for name, s in self._sources.items()}

    def _results(self, source: Any, everywhere: bool) -> dict[str, Any]:
        if self.step.execution.strategy is None:
            return results_of(source)
        return results_of(source, replica_variables.values(source.variables, everywhere=everywhere))

    def reset(self) -> None:
        """Reset all values, for a new epoch."""
        for mean in self.means.values():
            mean.reset_state()
        self.running = False

    def _mean(self, name: str, kind: type[keras.metrics.Metric]) -> keras.metrics.Metric:
        if type(self.means.get(name)) is not kind:
            shared_steps.call_once(lambda: self._make(name, kind))
        return self.means[name]

    def _make(self, name: str, kind: type[keras.metrics.Metric]) -> None:
        with lifted_variables():
            self.means[name] = kind(name=name, dtype="float32")


class LastValue(keras.metrics.Metric):
    """A metric that keeps the last number; with several replicas, the mean of their last ones."""

    def __init__(self, name: str, dtype: str) -> None:
        super().__init__(name=name, dtype=dtype)
        self.last = self.add_variable((), "zeros", name="last")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, value: Any, sample_weight: Any = None) -> None:
        """Replace the number."""
        self.last.assign(value)
        self.count.assign(tf.ones(()))

    def result(self) -> Any:
        """Return the last number."""
        return keras.ops.divide_no_nan(self.last, self.count)


class Logs(dict[str, Any]):
    """The logs of a batch for Keras: its values, if a callback reads them, and their EpochLogs."""

    def __init__(self, log: EpochLogs, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.log = log


def _number(name: str, value: Any) -> tf.Tensor:
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise NotOneNumber(name, f"a {type(value).__name__}") from error
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool):
        raise NotOneNumber(name, f"a {tensor.dtype.name}")
    if tensor.shape.rank not in (0, None):
        raise NotOneNumber(name, f"an array of shape {tuple(tensor.shape)}")
    if tensor.shape.rank is None:
        # The rank is known only at run time, as that of values looked up in a table.
        tensor = tf.ensure_shape(tensor, ())
    return tf.cast(tensor, "float32")
