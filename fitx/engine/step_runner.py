"""Runs the methods of one step, in training and in evaluation, as an execution plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Protocol

import keras
import tensorflow as tf

from fitx.data.batch_layout import Rows
from fitx.data.row_blocks import Block
from fitx.engine.epoch_logs import EpochLogs
from fitx.engine.loops.batch_loop import (
    AdHocFunction,
    BatchFunction,
    DistributedFunction,
    EagerFunction,
    PlainFunction,
)
from fitx.engine.loops.block_loop import BlockFunction
from fitx.engine.modes.execution_modes import ExecutionPlan
from fitx.engine.replicas import replica_variables, shared_steps
from fitx.engine.replicas.replica_graph import ReplicaGraph
from fitx.engine.step_contents import StepContents
from fitx.engine.step_graph import StepGraph, batch_with_rows
from fitx.errors import FitxError

StepFunction = BatchFunction | BlockFunction


class MissingLoss(FitxError):
    """A step computes the experiment's loss, but the experiment has no loss."""

    def __init__(self) -> None:
        super().__init__("there is no loss to compute")


@dataclass
class Usage:
    """The parts of an experiment that the methods of a step have used while they were traced.

    Attributes:
        loss: Whether they computed, or read, the experiment's loss.
        metrics: Whether they updated the experiment's metrics.
        applied: Names of the optimizers that applied gradients.
        scaled: Names of the optimizers that scaled a loss.
    """

    loss: bool = False
    metrics: bool = False
    applied: set[str] = field(default_factory=set)
    scaled: set[str] = field(default_factory=set)

    def observe(self, name: str, optimizer: keras.optimizers.Optimizer) -> None:
        """Record when an optimizer scales a loss and applies gradients, from now on."""
        scale_loss, apply = optimizer.scale_loss, optimizer.apply

        @wraps(scale_loss)
        def recorded_scale_loss(*args: Any, **keywords: Any) -> Any:
            self.scaled.add(name)
            return scale_loss(*args, **keywords)

        @wraps(apply)
        def recorded_apply(*args: Any, **keywords: Any) -> Any:
            self.applied.add(name)
            return apply(*args, **keywords)

        optimizer.scale_loss, optimizer.apply = recorded_scale_loss, recorded_apply


class Builder(Protocol):
    """Builds what a method of a step makes while it runs."""

    def build(self, kind: str, spec: Any) -> None:
        """Build what the method "train" or "test" makes with batches of a spec."""

    def find_contents(self) -> None:
        """Find the networks and the optimizers among the attributes of the step."""


class StepRunner:
    """The graphs and functions of a step, by kind: "train" (`train_step`) or "test" (`test_step`).

    Attributes:
        logs: The values that each method returns, collected over an epoch.
        contents: The networks and the optimizers of the step.
        usage: Which of the loss, the metrics and the optimizers it was given the step uses.
        step_graphs: Each method as graphs of one batch.
        builder: Builds what a step makes while it runs, before it is traced; None for a step that
            is built already.
        plan: How the methods are executed.
        strategy: The strategy under whose scope the step was made; None for one device.
    """

    def __init__(self, step: keras.Model) -> None:
        self.logs = {"train": EpochLogs(step), "test": EpochLogs(step)}
        self.contents = StepContents()
        self.usage = Usage()
        self.builder: Builder | None = None
        self.plan = ExecutionPlan()
        self.strategy = shared_steps.strategy_in_scope()
        self.discard_graphs(step)

    def discard_graphs(self, step: keras.Model) -> None:
        """Discard the traced graphs, which may hold an earlier loss or optimizer."""
        methods = {"train": step.train_step, "test": step.test_step}
        self.step_graphs = {kind: StepGraph(methods[kind], log) for kind, log in self.logs.items()}
        self._replica_graphs: dict[str, ReplicaGraph] = {}
        if self.strategy is not None:
            for kind, step_graph in self.step_graphs.items():
                self._replica_graphs[kind] = ReplicaGraph(step_graph, self.strategy)
        self._functions: dict[str, StepFunction] = {}

    def use_plan(self, plan: ExecutionPlan) -> None:
        """Execute the step by a plan from now on."""
        self.plan = plan
        self._functions.clear()

    def graphs(self, *kinds: str) -> list[Any]:
        """Return the traced graphs of one batch, of all kinds if none is named.

        A graph for several devices holds the operations of all devices of this process.
        """
        return [g for kind in kinds or self.step_graphs for g in self._graphs_of(kind).graphs]

    def trace(
        self, kind: str, spec: Any, rows: Rows, *, returns_values: bool = False
    ) -> tuple[str, ...]:
        """Trace a method; return the names of the values that it logs.

        Args:
            kind: The method: "train" or "test".
            spec: The spec of the batches, as the `element_spec` of a dataset.
            rows: Rows of a full batch, of each stream if there are several; a graph for several
                devices takes no other number.
            returns_values: Whether a callback is going to read the values of batches.
        """
        if self.builder is not None:
            self.builder.build(kind, spec)
        if kind in self._replica_graphs:
            spec = batch_with_rows(spec, rows)
            self._replica_graphs[kind].graph(spec, returns_values=returns_values)
        else:
            self.step_graphs[kind].graph(spec)
        return self.logs[kind].names

    def trace_around(
        self, kind: str, function: Callable[[Callable[[Any], Any], Any], Any], spec: Any
    ) -> Any:
        """Return the graph of a function that takes a method, which it calls, and a batch."""
        graphs = self._graphs_of(kind)

        @tf.autograph.experimental.do_not_convert
        def one_batch(data: Any) -> Any:
            return function(graphs.run, data)

        return graphs.trace(one_batch, spec)

    def count_rows_of(self, stream: str) -> None:
        """Let a batch of several streams count by the rows of one."""
        for log in self.logs.values():
            log.stream = stream

    def continue_epoch(self) -> None:
        """Let the training function add to the restored values of an epoch, not begin a new one."""
        self.logs["train"].running = True

    @contextmanager
    def logs_restored(self, step: keras.Model) -> Iterator[None]:
        """Restore, at the end, the values logged so far in the current epoch and validation."""
        logs = self.logs.values()
        means = (v for log in logs for mean in log.means.values() for v in mean.variables)
        running = [log.running for log in logs]
        variables = [
            copy
            for variable in (*step.metrics_variables, *means)
            for copy in replica_variables.local_copies(variable)
        ]
        values = [tf.identity(variable) for variable in variables]
        try:
            yield
        finally:
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            for log, was_running in zip(logs, running, strict=True):
                log.running = was_running

    def function(self, kind: str) -> StepFunction:
        """Return the function that runs a method in the mode of the plan."""
        if kind not in self._functions:
            self._functions[kind] = self._function(kind)
        return self._functions[kind]

    def accepts(self, kind: str, x: Any, steps: int | None) -> bool:
        """Return whether `function` takes data: blocks in modes of blocks, else endless batches."""
        if self.plan.modes[kind].takes_blocks:
            return isinstance(getattr(x, "element_spec", None), Block)
        return isinstance(x, tf.data.Dataset) and steps is not None

    def ad_hoc(self, kind: str, *, returns_results: bool = True) -> AdHocFunction:
        """Return a function for batches that a callback passes in, whatever the mode is."""
        return AdHocFunction(self._graphs_of(kind), returns_results=returns_results)

    def _graphs_of(self, kind: str) -> StepGraph | ReplicaGraph:
        return self._replica_graphs.get(kind) or self.step_graphs[kind]

    def _function(self, kind: str) -> StepFunction:
        plan, step_graph = self.plan, self.step_graphs[kind]
        if kind in self._replica_graphs:
            replica_graph = self._replica_graphs[kind]
            return DistributedFunction(replica_graph, returns_values=plan.returns_values)
        if plan.eager:
            return EagerFunction(step_graph, returns_values=plan.returns_values)
        if not plan.modes[kind].takes_blocks:
            return PlainFunction(step_graph, returns_values=plan.returns_values)
        return BlockFunction(
            step_graph,
            plan.modes[kind],
            plan.device,
            is_sized=kind in plan.sized,
            returns_values=plan.returns_values,
        )
