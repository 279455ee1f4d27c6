"""Decides how a step is executed, for new, resumed and evaluated runs alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import tensorflow as tf

from fitx.build.built import BuiltExperiment
from fitx.build.callback_parts import reads_batches
from fitx.build.operation_reports import uncompilable, xla_refused
from fitx.build.preflight import trace_and_check
from fitx.build.step_feeds import batch_layout
from fitx.data.batch_layout import BatchLayout
from fitx.data.row_blocks import training_blocks
from fitx.engine.modes import auto
from fitx.engine.modes.execution_modes import MODES, PLAIN, ExecutionPlan, Mode
from fitx.engine.modes.measure import measure_modes
from fitx.engine.modes.operation_count import StepWork, count_work
from fitx.engine.resources.unsaved import StateLocation, unsaved_operations
from fitx.engine.step_graph import spec_of
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry import keras_parts
from fitx.registry.kinds import Part
from fitx.runtime import Runtime
from fitx.stages import Stage


@dataclass(frozen=True)
class PlannedSteps:
    """Steps that are going to run.

    Args:
        kind: The method that runs: "train" or "test".
        split: The split that it runs on.
        steps: Number of steps in all.
        steps_per_pass: Batches of one evaluation; None for `BuiltExperiment.evaluation_steps`.
    """

    kind: str
    split: str
    steps: int
    steps_per_pass: int | None = None


@dataclass(frozen=True)
class ModeInputs:
    """The values by which the mode of one method is chosen.

    Args:
        built: The experiment; the method is traced.
        kind: The method: "train" or "test".
        batches: The batches that it runs on.
        steps: Number of steps in all.
        device_kind: "cpu" or "gpu".
        readers: Keys of the callbacks that must be called for every batch.
    """

    built: BuiltExperiment
    kind: str
    batches: BatchLayout
    steps: int
    device_kind: str
    readers: Sequence[KeyPath] = ()

    @property
    def graph(self) -> Any:
        """The graph of one batch: that for batches of any size, if the step has one."""
        graphs = self.built.step.execution.step_graphs[self.kind].graphs
        return next((graph for graph in graphs if _takes_any_size(graph)), graphs[-1])

    @cached_property
    def work(self) -> StepWork:
        """The operations and the arithmetic of one step."""
        return count_work(self.graph, self.batches.largest)

    @cached_property
    def full_batch_graph(self) -> FullBatchGraph:
        """The way in which XLA compiles batches of full size."""
        graph = self.graph
        obstacle = self._obstacle(graph)
        if obstacle is None or not _takes_any_size(graph):
            return FullBatchGraph(graph, obstacle)
        step_graph = self.built.step.execution.step_graphs[self.kind]
        sized = step_graph.graph_for_rows(graph, self.batches.full_rows)
        if self._obstacle(sized) is None:
            return FullBatchGraph(sized, None, is_sized=True)
        return FullBatchGraph(graph, obstacle)

    def _obstacle(self, graph: Any) -> str | None:
        return uncompilable(self.built, graph, self.batches.full_rows, self.device_kind)


@dataclass(frozen=True)
class FullBatchGraph:
    """The graph from which XLA compiles batches of full size.

    Args:
        graph: The graph.
        obstacle: The operation that XLA cannot compile, in words; None if there is none.
        is_sized: Whether the graph takes only batches of that size, as some layers need.
    """

    graph: Any
    obstacle: str | None
    is_sized: bool = False


def prepare_execution(
    built: BuiltExperiment,
    device: Runtime,
    planned: Sequence[PlannedSteps],
    recorded: Mapping[str, str] | None = None,
) -> ExecutionPlan:
    """Trace a step on the batches it is going to run on, and decide how it is executed.

    Args:
        built: The experiment, as it was just built.
        device: The device that computes.
        planned: The steps that are going to run.
        recorded: The modes in which an earlier process executed the run, by method; None lets
            the modes be chosen.

    Returns:
        The plan, which the step has been given.

    Raises:
        ConfigError: An XLA mode is asked for and XLA cannot compile the step; or a shipped step
            cannot run on these networks and this data.
        UserCodeError: A plugin's step raised an exception.
    """
    readers = reads_batches(built.experiment)
    layouts: dict[str, BatchLayout] = {}
    for planned_step in dict.fromkeys(planned):
        with Stage(f"tracing {planned_step.kind}_step on the {planned_step.split} split"):
            trace_and_check.trace(
                built,
                planned_step.kind,
                planned_step.split,
                planned_step.steps_per_pass,
                returns_values=bool(readers),
            )
        batches = batch_layout(
            built, planned_step.kind, planned_step.split, planned_step.steps_per_pass
        )
        largest = layouts.setdefault(planned_step.kind, batches)
        if batches.largest > largest.largest:
            layouts[planned_step.kind] = batches
    modes, reasons, sized = {"train": PLAIN, "test": PLAIN}, dict[str, str](), set[str]()
    for kind, batches in layouts.items():
        steps = sum(planned_step.steps for planned_step in planned if planned_step.kind == kind)
        inputs = ModeInputs(built, kind, batches, steps, device.kind, readers)
        with Stage(f"choosing how {kind}_step is executed"):
            modes[kind], reasons[kind] = _choose_mode(inputs, (recorded or {}).get(kind))
            if modes[kind].xla and inputs.full_batch_graph.is_sized:
                sized.add(kind)
    eager = built.experiment.execution.eager
    plan = ExecutionPlan(modes, reasons, frozenset(sized), device.device, bool(readers), eager)
    built.step.execution.use_plan(plan)
    return plan


def _choose_mode(inputs: ModeInputs, recorded: str | None) -> tuple[Mode, str]:
    """Return the mode of a method, and why it was chosen."""
    requested = inputs.built.experiment.execution.mode
    if inputs.built.step.execution.strategy is not None:
        return PLAIN, "required by execution.strategy"
    if inputs.built.experiment.execution.eager:
        return PLAIN, "runs as Python, as execution.eager says"
    if recorded is not None:
        _refuse_counting_calls(inputs, MODES[recorded])
        return MODES[recorded], "the mode in which the run started"
    if requested in MODES:
        return _requested_mode(inputs, MODES[requested])
    if inputs.readers:
        name = _callback(inputs, inputs.readers[0]).name
        return PLAIN, f"callback {name} needs every batch"
    choice = auto.choose_mode(inputs.work, inputs.steps, inputs.device_kind)
    mode, reason = _compilable_mode(inputs, *choice)
    is_measured = requested == "measure" and inputs.kind == "train"
    return _measured_mode(inputs, mode, reason) if is_measured else (mode, reason)


def _callback(inputs: ModeInputs, path: KeyPath) -> Part:
    return inputs.built.experiment.callbacks[int(path[1])]


def _requested_mode(inputs: ModeInputs, mode: Mode) -> tuple[Mode, str]:
    _refuse_counting_calls(inputs, mode)
    obstacle = inputs.full_batch_graph.obstacle if mode.xla else None
    if obstacle is not None:
        raise xla_refused(inputs.built, obstacle)
    return mode, "as execution.mode says"


def _refuse_counting_calls(inputs: ModeInputs, mode: Mode) -> None:
    """Refuse a TensorBoard that writes by batches in a fused mode: it counts calls as batches."""
    for path in inputs.readers if mode.fused else ():
        part = _callback(inputs, path)
        if keras_parts.class_name(part.kind, part.name) == "TensorBoard":
            raise inputs.built.experiment.error(
                path,
                f"{part.name} counts batches by calls, and one call of mode '{mode.name}' runs "
                "many: write update_freq: epoch, without profile_batch and "
                "write_steps_per_second, or train in another mode.",
            )


def _compilable_mode(inputs: ModeInputs, mode: Mode, reason: str) -> tuple[Mode, str]:
    """Return a mode, or the same without XLA if XLA cannot compile the step."""
    obstacle = inputs.full_batch_graph.obstacle if mode.xla else None
    if obstacle is None:
        return mode, reason
    return MODES["fused" if mode.fused else "plain"], f"XLA cannot compile {obstacle}"


def _measured_mode(inputs: ModeInputs, default: Mode, reason: str) -> tuple[Mode, str]:
    """Return the mode that is fastest on real batches, or the default if time is too short."""
    unsaved = unsaved_operations(inputs.graph)
    if any(operation.location is not StateLocation.ORDER for operation in unsaved):
        return default, f"{reason}; timing the modes would change state that cannot be restored"
    block = next(iter(training_blocks(inputs.built.data)))
    modes = [
        mode
        for mode in MODES.values()
        if auto.is_practical(mode, inputs.work, inputs.device_kind)
        and (not mode.xla or inputs.full_batch_graph.obstacle is None)
    ]
    graph, operations = inputs.full_batch_graph.graph, inputs.work.operations
    with Stage(f"measuring the modes {', '.join(mode.name for mode in modes)}"):
        seconds = measure_modes(graph, block, modes, steps=inputs.steps, operations=operations)
    if len(seconds) < 2:
        return default, f"{reason}; the training is too short to time more than one mode"
    fastest = sorted(seconds, key=lambda name: seconds[name])
    times = ", ".join(f"{name} {1000 * seconds[name]:.3g} ms" for name in fastest)
    return MODES[fastest[0]], f"measured per step: {times}"


def _takes_any_size(graph: Any) -> bool:
    """Return whether a graph takes batches of any number of rows."""
    shapes = [spec.shape for spec in tf.nest.flatten(spec_of(graph))]
    return any(shape.rank and shape[0] is None for shape in shapes)
