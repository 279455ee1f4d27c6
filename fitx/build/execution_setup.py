"""Prepares the execution of the step of a built experiment: traces it, and chooses its modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import tensorflow as tf

from fitx.build.built import BuiltExperiment
from fitx.build.make import reads_batches
from fitx.build.preflight import agreement
from fitx.build.xla_obstacles import refusal, uncompilable
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
class Task:
    """Steps that are to be run.

    Args:
        kind: The method that runs: "train" or "test".
        split: The rows it runs on.
        steps: How many are to run in all.
    """

    kind: str
    split: str
    steps: int


@dataclass(frozen=True)
class ModeInputs:
    """What the mode of one method is chosen by.

    Args:
        built: Its step is traced.
        kind: The method: "train" or "test".
        steps: How many are to run in all.
        device_kind: "cpu" or "gpu".
        readers: Where the callbacks stand that must hear of every batch.
    """

    built: BuiltExperiment
    kind: str
    steps: int
    device_kind: str
    readers: Sequence[KeyPath] = ()

    @property
    def batch_size(self) -> int:
        """The rows of a full batch."""
        splits = self.built.data.splits
        own = {k: v for k, v in splits.items() if (k == "train") == (self.kind == "train")}
        # An experiment may measure on the rows that it trains on.
        return min(self.built.data.batch_size, max(map(len, (own or splits).values())))

    @property
    def graph(self) -> Any:
        """The step as a graph of one batch, for batches of any size if it was traced for those."""
        graphs = self.built.step.execution.step_graphs[self.kind].graphs
        return next((graph for graph in graphs if _takes_any_size(graph)), graphs[-1])

    @cached_property
    def count(self) -> StepWork:
        """What one step computes."""
        return count_work(self.graph, self.batch_size)

    @cached_property
    def full(self) -> FullBatches:
        """What XLA can compile for batches of full size."""
        graph = self.graph
        found = self._obstacle(graph)
        if found is None or not _takes_any_size(graph):
            return FullBatches(graph, found)
        sized = self.built.step.execution.step_graphs[self.kind].graph_for_rows(
            graph, self.batch_size
        )
        if self._obstacle(sized) is None:
            return FullBatches(sized, None, is_sized=True)
        return FullBatches(graph, found)

    def _obstacle(self, graph: Any) -> str | None:
        return uncompilable(self.built, graph, self.batch_size, self.device_kind)


@dataclass(frozen=True)
class FullBatches:
    """How XLA compiles the batches of full size.

    Args:
        graph: The graph that it compiles, if it can.
        obstacle: What of the step it cannot compile; None for nothing.
        is_sized: Whether the graph takes batches of that size only, as some layers need.
    """

    graph: Any
    obstacle: str | None
    is_sized: bool = False


def prepare_execution(
    built: BuiltExperiment,
    device: Runtime,
    tasks: Sequence[Task],
    recorded: Mapping[str, str] | None = None,
) -> ExecutionPlan:
    """Trace a step on the batches it is to run on, choose how it is executed, and set that.

    Args:
        built: What was just made.
        device: What computes.
        tasks: What is to run.
        recorded: The modes in which a run has been executed so far, by method; None chooses.

    Raises:
        ConfigError: A mode of XLA is asked for, and XLA cannot compile the step; or a shipped
            step cannot run on these networks and this data.
        UserCodeError: A plugin's step raised.
    """
    readers = reads_batches(built.experiment)
    plan = ExecutionPlan(device=device.device, returns_values=bool(readers))
    execution = built.step.execution
    execution.use_plan(plan)
    for kind, split in dict.fromkeys((task.kind, task.split) for task in tasks):
        with Stage(f"tracing {kind}_step on the {split} split"):
            agreement.trace(built, kind, split)
    modes, why, sized = dict(plan.modes), dict(plan.why), set[str]()
    for kind in dict.fromkeys(task.kind for task in tasks):
        steps = sum(task.steps for task in tasks if task.kind == kind)
        inputs = ModeInputs(built, kind, steps, device.kind, readers)
        with Stage(f"choosing how {kind}_step is executed"):
            modes[kind], why[kind] = _choice(inputs, (recorded or {}).get(kind))
            if modes[kind].xla and inputs.full.is_sized:
                sized.add(kind)
    plan = replace(plan, modes=modes, why=why, sized=frozenset(sized))
    execution.use_plan(plan)
    return plan


def _choice(work: ModeInputs, recorded: str | None) -> tuple[Mode, str]:
    asked = work.built.experiment.execution.mode
    if work.built.step.execution.strategy is not None:
        return PLAIN, "as execution.strategy asks for"
    if recorded is not None:
        _refuse_counting_calls(work, MODES[recorded])
        return MODES[recorded], "as the run began"
    if asked in MODES:
        return _demanded(work, MODES[asked])
    if work.readers:
        return PLAIN, f"callback {_part(work, work.readers[0]).name} looks at every batch"
    mode, why = _compilable(work, *auto.choose_mode(work.count, work.steps, work.device_kind))
    is_measured = asked == "measure" and work.kind == "train"
    return _measured(work, mode, why) if is_measured else (mode, why)


def _part(work: ModeInputs, path: KeyPath) -> Part:
    return work.built.experiment.callbacks[int(path[1])]


def _demanded(work: ModeInputs, mode: Mode) -> tuple[Mode, str]:
    _refuse_counting_calls(work, mode)
    obstacle = work.full.obstacle if mode.xla else None
    if obstacle is not None:
        raise refusal(work.built, obstacle)
    return mode, "as execution.mode says"


def _refuse_counting_calls(work: ModeInputs, mode: Mode) -> None:
    """Refuse a TensorBoard that writes by batches, which it counts by calls, in a fused mode."""
    for path in work.readers if mode.fused else ():
        part = _part(work, path)
        if keras_parts.class_name(part.kind, part.name) == "TensorBoard":
            raise work.built.experiment.error(
                path,
                f"{part.name} counts batches by calls, and one call of mode '{mode.name}' runs "
                "many: write update_freq: epoch, without profile_batch and "
                "write_steps_per_second, or train in another mode.",
            )


def _compilable(work: ModeInputs, mode: Mode, why: str) -> tuple[Mode, str]:
    """Return a mode as it was chosen, or the next that does without XLA."""
    obstacle = work.full.obstacle if mode.xla else None
    if obstacle is None:
        return mode, why
    return MODES["fused" if mode.fused else "plain"], f"XLA cannot compile {obstacle}"


def _measured(work: ModeInputs, ruled: Mode, why: str) -> tuple[Mode, str]:
    """Try the modes on real batches and return the fastest, or the rule's where time is short."""
    if any(found.location is not StateLocation.ORDER for found in unsaved_operations(work.graph)):
        return ruled, f"{why}; trying modes would change a state that cannot be put back"
    block = next(iter(training_blocks(work.built.data)))
    sensible = [m for m in MODES.values() if auto.is_practical(m, work.count, work.device_kind)]
    modes = [m for m in sensible if not m.xla or work.full.obstacle is None]
    operations = work.count.operations
    with Stage(f"measuring the modes {', '.join(mode.name for mode in modes)}"):
        found = measure_modes(
            work.full.graph, block, modes, steps=work.steps, operations=operations
        )
    if len(found) < 2:
        return ruled, f"{why}; too short a training to measure more"
    fastest = sorted(found, key=lambda name: found[name])
    times = ", ".join(f"{name} {1000 * found[name]:.3g} ms" for name in fastest)
    return MODES[fastest[0]], f"measured per step: {times}"


def _takes_any_size(graph: Any) -> bool:
    """Whether a graph takes batches of any number of rows."""
    shapes = [spec.shape for spec in tf.nest.flatten(spec_of(graph))]
    return any(shape.rank and shape[0] is None for shape in shapes)
