"""In which mode a trial's steps are executed, and why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fitx.build.trial import Trial
from fitx.build.xla import refusal, uncompilable
from fitx.data.blocks import training_blocks
from fitx.engine import auto
from fitx.engine.count import Count, count
from fitx.engine.measure import measure
from fitx.engine.mode import MODES, PLAIN, Mode


@dataclass(frozen=True)
class Work:
    """What is to be executed.

    Args:
        trial: Its step is traced.
        kind: What the step is for: "train" or "test".
        steps: How many are to run in all.
        device_kind: "cpu" or "gpu".
    """

    trial: Trial
    kind: str
    steps: int
    device_kind: str

    @property
    def graph(self) -> Any:
        """The step as a graph of one batch."""
        return self.trial.step.execution.batches[self.kind].newest

    @cached_property
    def count(self) -> Count:
        """What one step computes."""
        return count(self.graph, self.trial.data.batch_size)

    @cached_property
    def obstacle(self) -> str | None:
        """What of the step XLA cannot compile, None for nothing.

        Some steps it can compile for full batches only; their graph is traced then.
        """
        graph = self.graph
        found = uncompilable(self.trial, graph, self.device_kind)
        if found is None:
            return None
        sized = self.trial.step.execution.batches[self.kind].sized(self.trial.data.batch_size)
        is_compilable = sized is not graph and not uncompilable(self.trial, sized, self.device_kind)
        return None if is_compilable else found


def settle(work: Work) -> None:
    """Choose the mode of a step as the experiment asks for it, and set it.

    Raises:
        ConfigError: A mode of XLA is asked for, and XLA cannot compile the step.
    """
    mode, why = _choice(work)
    execution = work.trial.step.execution
    execution.modes[work.kind], execution.why[work.kind] = mode, why


def _choice(work: Work) -> tuple[Mode, str]:
    asked = work.trial.experiment.execution.mode
    if work.trial.step.execution.strategy is not None:
        return PLAIN, "as execution.strategy asks for"
    if asked in MODES:
        return _demanded(work, MODES[asked])
    if work.trial.step.execution.returns_values:
        return PLAIN, "a callback looks at every batch"
    mode, why = _compilable(work, *auto.choose(work.count, work.steps, work.device_kind))
    is_measured = asked == "measure" and work.kind == "train"
    return _measured(work, mode, why) if is_measured else (mode, why)


def _demanded(work: Work, mode: Mode) -> tuple[Mode, str]:
    obstacle = work.obstacle if mode.xla else None
    if obstacle is not None:
        raise refusal(work.trial, obstacle)
    return mode, "as execution.mode says"


def _compilable(work: Work, mode: Mode, why: str) -> tuple[Mode, str]:
    """Return a mode as it was chosen, or the next that does without XLA."""
    obstacle = work.obstacle if mode.xla else None
    if obstacle is None:
        return mode, why
    return MODES["fused" if mode.fused else "plain"], f"XLA cannot compile {obstacle}"


def _measured(work: Work, ruled: Mode, why: str) -> tuple[Mode, str]:
    """Try the modes on real batches and return the fastest, or the rule's where time is short."""
    block = next(iter(training_blocks(work.trial.data)))
    if not int(block.full):
        return ruled, f"{why}; no batch is full, as those that are measured must be"
    sensible = [m for m in MODES.values() if auto.is_sensible(m, work.count, work.device_kind)]
    modes = [m for m in sensible if not m.xla or work.obstacle is None]
    operations = work.count.operations
    found = measure(work.graph, block, modes, steps=work.steps, operations=operations)
    if len(found) < 2:
        return ruled, f"{why}; too short a training to measure more"
    fastest = sorted(found, key=lambda name: found[name])
    times = ", ".join(f"{name} {1000 * found[name]:.3g} ms" for name in fastest)
    return MODES[fastest[0]], f"measured per step: {times}"
