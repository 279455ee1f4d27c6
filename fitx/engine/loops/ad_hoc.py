"""Runs a step on batches that a callback hands in, apart from those that the experiment feeds."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from fitx.engine.epoch_logs import Logs
from fitx.engine.loops.distributed_loop import DistributedFunction
from fitx.engine.step_graph import StepGraph, with_rows


class AdHocFunction:
    """What Keras calls once a batch in `evaluate`, `test_on_batch` and `train_on_batch`.

    Batches may have any number of rows. They run one a call, by TensorFlow's kernels, so that one
    trace serves them all.

    Args:
        source: The step as graphs.
        returns_results: Whether a call returns what was logged since the metrics were reset.
    """

    def __init__(self, source: StepGraph | DistributedFunction, *, returns_results: bool) -> None:
        self.log = source.log
        self._source, self._returns_results = source, returns_results

    def __call__(self, iterator: Any) -> Logs:
        """Run one batch."""
        # Taken before the step runs: inside its graph, the end of the data would not keep
        # operations that need no data from running once more.
        batch = _as_fed(next(iterator))
        graph = self._graph(batch)
        self.log.running = True
        graph(batch)
        return Logs(self.log, self.log.result(everywhere=True) if self._returns_results else {})

    def _graph(self, batch: Any) -> Any:
        if isinstance(self._source, DistributedFunction):
            return self._source.graph(batch)
        return self._source.graph(tf.nest.map_structure(_any_size, batch))


def _as_fed(batch: Any) -> Any:
    """Return a batch as the experiment's have it: x, (x, y) or (x, y, sample_weight), tensors."""
    if isinstance(batch, tuple):
        there = tuple(part for part in batch if part is not None)
        batch = there if len(there) > 1 else there[0]
    return tf.nest.map_structure(_tensor, batch)


def _tensor(value: Any) -> Any:
    if tf.is_tensor(value):
        return value
    tensor = tf.convert_to_tensor(value)
    return tf.cast(tensor, keras.config.floatx()) if tensor.dtype == tf.float64 else tensor


def _any_size(tensor: Any) -> Any:
    spec = tf.type_spec_from_value(tensor)
    return with_rows(spec, None) if isinstance(spec, tf.TensorSpec) and spec.shape.rank else spec
