"""How the steps of one `Step` are executed, in training and in evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from fitx.data.row_blocks import Block
from fitx.engine.epoch_logs import EpochLogs
from fitx.engine.loops.ad_hoc import AdHocFunction
from fitx.engine.loops.block_loop import BlockFunction
from fitx.engine.loops.distributed_loop import DistributedFunction
from fitx.engine.loops.plain_loop import PlainFunction
from fitx.engine.modes.execution_modes import ExecutionPlan
from fitx.engine.replicas import replica_variables, shared_steps
from fitx.engine.step_graph import StepGraph
from fitx.engine.usage import Usage

StepFunction = PlainFunction | BlockFunction | DistributedFunction


class StepRunner:
    """The graphs and functions of one step, by what they are for: "train" and "test".

    Attributes:
        logs: What the step returns, gathered over an epoch.
        usage: What the step uses of the loss, the metrics and the optimizers it was given.
        step_graphs: The step as graphs of one batch.
        plan: How they are executed.
        strategy: The strategy under whose scope the step was made; None for one device.
    """

    def __init__(self, step: keras.Model) -> None:
        self.logs = {"train": EpochLogs(step), "test": EpochLogs(step)}
        self.usage = Usage()
        self.plan = ExecutionPlan()
        self.strategy = shared_steps.strategy_in_scope()
        self.renew(step)

    def renew(self, step: keras.Model) -> None:
        """Forget the graphs: a loss or an optimizer that they hold may be another now."""
        methods = {"train": step.train_step, "test": step.test_step}
        self.step_graphs = {kind: StepGraph(methods[kind], log) for kind, log in self.logs.items()}
        self._functions: dict[str, StepFunction] = {}

    def use_plan(self, plan: ExecutionPlan) -> None:
        """Execute the step by a plan from now on."""
        self.plan = plan
        if self.strategy is None:
            self._functions.clear()

    def graphs(self, *kinds: str) -> list[Any]:
        """Return the graphs of one batch that were traced, for all kinds if none is named.

        A graph for several devices holds what all devices of this process do.
        """
        return [g for kind in kinds or tuple(self.step_graphs) for g in self._source(kind).graphs]

    def trace(self, kind: str, dataset: tf.data.Dataset) -> tuple[str, ...]:
        """Trace the step on the shapes of a dataset's batches; return the names it logs."""
        function = self.function(kind)
        if isinstance(function, DistributedFunction):
            function.graph(next(iter(dataset)))
        else:
            self.step_graphs[kind].graph(dataset.element_spec)
        return self.logs[kind].names

    def traced_around(
        self, kind: str, function: Callable[[Callable[[Any], Any], Any], Any], spec: Any
    ) -> Any:
        """Trace the step anew, within a function that is given the step and a batch."""
        source = self._source(kind)

        @tf.autograph.experimental.do_not_convert
        def one_batch(data: Any) -> Any:
            return function(source.run, data)

        return source.traced(one_batch, spec)

    @contextmanager
    def epoch_kept(self, step: keras.Model) -> Iterator[None]:
        """Put back, at the end, what the epoch or validation under way has logged."""
        logs = self.logs.values()
        own = (v for log in logs for mean in log.means.values() for v in mean.variables)
        variables = [*step.metrics_variables, *own]
        running = [log.running for log in logs]
        kept = [copy for variable in variables for copy in replica_variables.local_copies(variable)]
        values = [tf.identity(copy) for copy in kept]
        try:
            yield
        finally:
            for copy, value in zip(kept, values, strict=True):
                copy.assign(value)
            for log, was_running in zip(logs, running, strict=True):
                log.running = was_running

    def function(self, kind: str) -> StepFunction:
        """Return what `fit` or `evaluate` calls: once a batch, or once for all where fed blocks."""
        if kind not in self._functions:
            self._functions[kind] = self._function(kind)
        return self._functions[kind]

    def accepts(self, kind: str, x: Any, steps: int | None) -> bool:
        """Whether data is as fitx feeds it: blocks where the mode takes them, endless batches."""
        if self.plan.modes[kind].takes_blocks:
            return isinstance(getattr(x, "element_spec", None), Block)
        return isinstance(x, tf.data.Dataset) and steps is not None

    def ad_hoc(self, kind: str, *, returns_results: bool = True) -> AdHocFunction:
        """Return what takes batches that a callback hands in, whatever the mode is."""
        self.function(kind)
        return AdHocFunction(self._source(kind), returns_results=returns_results)

    def _source(self, kind: str) -> StepGraph | DistributedFunction:
        """Return what traces and keeps the graphs of one batch."""
        function = self._functions.get(kind)
        return function if isinstance(function, DistributedFunction) else self.step_graphs[kind]

    def _function(self, kind: str) -> StepFunction:
        batch, plan = self.step_graphs[kind], self.plan
        mode, returns_values = plan.modes[kind], plan.returns_values
        if self.strategy is not None:
            return DistributedFunction(batch, self.strategy, returns_values=returns_values)
        if not mode.takes_blocks:
            return PlainFunction(batch, returns_values=returns_values)
        is_sized = kind in plan.sized
        return BlockFunction(
            batch, mode, plan.device, is_sized=is_sized, returns_values=returns_values
        )
