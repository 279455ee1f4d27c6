"""How the steps of one `Step` are executed, in training and in evaluation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from fitx.engine.batch import Batch
from fitx.engine.blocks import BlockFunction
from fitx.engine.log import Log
from fitx.engine.mode import PLAIN, Mode
from fitx.engine.plain import PlainFunction

StepFunction = PlainFunction | BlockFunction


class Execution:
    """The graphs and functions of one step, by what they are for: "train" and "test".

    Attributes:
        logs: What the step returns, gathered over an epoch.
        batches: The step as graphs of one batch.
        modes: How they are executed; to be set before `fit`.
        why: Why these modes were chosen, as a line says it.
        device: What computes, as `tf.device` names it.
        returns_values: Whether a callback reads the values of batches.
        limit: Tells how many training steps may run before the callbacks must hear of them.
    """

    def __init__(self, step: keras.Model) -> None:
        self.logs = {"train": Log(step), "test": Log(step)}
        self.renew(step)
        self.modes: dict[str, Mode] = {"train": PLAIN, "test": PLAIN}
        self.why = {"train": "", "test": ""}
        self.device = ""
        self.returns_values = False
        self.limit: Callable[[], int] = lambda: sys.maxsize

    def renew(self, step: keras.Model) -> None:
        """Forget the graphs: a loss or an optimizer that they hold may be another now."""
        methods = {"train": step.train_step, "test": step.test_step}
        self.batches = {kind: Batch(methods[kind], log) for kind, log in self.logs.items()}

    def trace(self, kind: str, dataset: tf.data.Dataset) -> tuple[str, ...]:
        """Trace the step on the shapes of a dataset's batches; return the names it logs."""
        self.batches[kind].graph(dataset.element_spec)
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
        values = [keras.ops.copy(variable) for variable in variables]
        try:
            yield
        finally:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            log.running = True

    def function(self, kind: str) -> StepFunction:
        """Return what `fit` or `evaluate` calls: once a batch, or once for all where fed blocks."""
        batch, mode = self.batches[kind], self.modes[kind]
        if not mode.takes_blocks:
            return PlainFunction(batch, returns_values=self.returns_values)
        return BlockFunction(batch, mode, self.device, returns_values=self.returns_values)
