"""In which mode a trial's steps are executed, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fitx.build.trial import Trial
from fitx.data.blocks import training_blocks
from fitx.engine import auto
from fitx.engine.count import count
from fitx.engine.measure import measure
from fitx.engine.mode import MODES, PLAIN, Mode


@dataclass(frozen=True)
class Choice:
    """A mode, and why it was chosen, as a line says it."""

    mode: Mode
    why: str


def settle(trial: Trial, kind: str, device_kind: str) -> None:
    """Choose the mode of a traced step as the experiment asks for it, and set it.

    Args:
        trial: What is to be trained or measured; its step is traced.
        kind: What the step is for: "train" or "test".
        device_kind: "cpu" or "gpu".
    """
    choice = _choice(trial, kind, device_kind)
    trial.step.execution.modes[kind] = choice.mode
    trial.step.execution.why[kind] = choice.why


def _choice(trial: Trial, kind: str, device_kind: str) -> Choice:
    asked = trial.experiment.execution.mode
    if asked in MODES:
        return Choice(MODES[asked], "as execution.mode says")
    if trial.step.execution.returns_values:
        return Choice(PLAIN, "a callback looks at every batch")
    graph = trial.step.execution.batches[kind].newest
    ruled = Choice(*auto.choose(count(graph, trial.data.batch_size), device_kind))
    return _measured(trial, graph, ruled) if asked == "measure" and kind == "train" else ruled


def _measured(trial: Trial, graph: Any, ruled: Choice) -> Choice:
    """Try the modes on real batches and return the fastest, or the rule's where time is short."""
    block = next(iter(training_blocks(trial.data)))
    if not int(block.full):
        return Choice(ruled.mode, f"{ruled.why}; there is no full batch to measure")
    counted = count(graph, trial.data.batch_size)
    modes = [mode for mode in MODES.values() if auto.is_sensible(mode, counted, "cpu")]
    found = measure(graph, block, modes, steps=trial.total_steps, operations=counted.operations)
    if len(found) < 2:
        return Choice(ruled.mode, f"{ruled.why}; the training is too short to measure more")
    best = min(found, key=lambda name: found[name])
    times = ", ".join(
        f"{name} {_duration(found[name])}" for name in sorted(found, key=lambda name: found[name])
    )
    return Choice(MODES[best], f"measured per step: {times}")


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"
