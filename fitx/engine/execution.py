"""How the steps of one `Step` are executed, in training and in evaluation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from fitx.engine import copies, replicas
from fitx.engine.batch import Batch
from fitx.engine.blocks import BlockFunction
from fitx.engine.distributed import DistributedFunction
from fitx.engine.log import Log
from fitx.engine.mode import PLAIN, Mode
from fitx.engine.plain import PlainFunction
from fitx.engine.usage import Usage

StepFunction = PlainFunction | BlockFunction | DistributedFunction


class Execution:
    """The graphs and functions of one step, by what they are for: "train" and "test".

    Attributes:
        logs: What the step returns, gathered over an epoch.
        usage: What the step uses of the loss, the metrics and the optimizers it was given.
        batches: The step as graphs of one batch.
        modes: How they are executed; to be set before `fit`.
        why: Why these modes were chosen, as a line says it.
        strategy: The strategy under whose scope the step was made; None for one device.
        device: What computes, as `tf.device` names it.
        returns_values: Whether a callback reads the values of batches.
        limit: Tells how many training steps may run before the callbacks must hear of them.
    """

    def __init__(self, step: keras.Model) -> None:
        self.logs = {"train": Log(step), "test": Log(step)}
        self.usage = Usage()
        self.renew(step)
        self.modes: dict[str, Mode] = {"train": PLAIN, "test": PLAIN}
        self.why = {"train": "", "test": ""}
        self.strategy = replicas.strategy_in_scope()
        self.device = ""
        self.returns_values = False
        self.limit: Callable[[], int] = lambda: sys.maxsize

    def renew(self, step: keras.Model) -> None:
        """Forget the graphs: a loss or an optimizer that they hold may be another now."""
        methods = {"train": step.train_step, "test": step.test_step}
        self.batches = {kind: Batch(methods[kind], log) for kind, log in self.logs.items()}
        self._shared: dict[str, DistributedFunction] = {}

    def graphs(self, *kinds: str) -> list[Any]:
        """Return the graphs of one batch that were traced, for all kinds if none is named."""
        return [g for kind in kinds or tuple(self.batches) for g in self.batches[kind].graphs]

    def trace(self, kind: str, dataset: tf.data.Dataset) -> tuple[str, ...]:
        """Trace the step on the shapes of a dataset's batches; return the names it logs."""
        if self.strategy is None:
            self.batches[kind].graph(dataset.element_spec)
        else:
            self._distributed(kind, self.strategy).graph(next(iter(dataset)))
        return self.logs[kind].names

    @contextmanager
    def epoch_kept(self, step: keras.Model) -> Iterator[None]:
        """Keep what the training epoch under way has logged, if there is one."""
        log = self.logs["train"]
        if not log.running:
            yield
            return
        own = (variable for mean in log.means.values() for variable in mean.variables)
        variables = [*step.metrics_variables, *own]
        kept = [copy for variable in variables for copy in copies.of(variable)]
        values = [tf.identity(copy) for copy in kept]
        try:
            yield
        finally:
            for copy, value in zip(kept, values, strict=True):
                copy.assign(value)
            log.running = True

    def function(self, kind: str) -> StepFunction:
        """Return what `fit` or `evaluate` calls: once a batch, or once for all where fed blocks."""
        if self.strategy is not None:
            return self._distributed(kind, self.strategy)
        batch, mode = self.batches[kind], self.modes[kind]
        if not mode.takes_blocks:
            return PlainFunction(batch, returns_values=self.returns_values)
        return BlockFunction(batch, mode, self.device, returns_values=self.returns_values)

    def _distributed(self, kind: str, strategy: tf.distribute.Strategy) -> DistributedFunction:
        """Return the function of a step under a strategy, its graphs kept from trace to fit."""
        if kind not in self._shared:
            self._shared[kind] = DistributedFunction(
                self.batches[kind], strategy, returns_values=self.returns_values
            )
        return self._shared[kind]
