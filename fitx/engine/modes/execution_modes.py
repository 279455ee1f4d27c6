"""The modes in which a step can be executed, and the plan that says how one step is executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mode:
    """A way to execute the batches of a step.

    Args:
        name: Its name in the experiment file.
        fused: Whether one call runs many batches, in a loop inside the graph.
        xla: Whether XLA compiles what one call runs into one program.
    """

    name: str
    fused: bool
    xla: bool

    @property
    def takes_blocks(self) -> bool:
        """True if it takes blocks of many batches; else it takes one batch after the other."""
        return self.fused or self.xla


MODES = {
    mode.name: mode
    for mode in (
        Mode("plain", fused=False, xla=False),
        Mode("xla", fused=False, xla=True),
        Mode("fused", fused=True, xla=False),
        Mode("fused_xla", fused=True, xla=True),
    )
}
PLAIN = MODES["plain"]


def _plain() -> dict[str, Mode]:
    return {"train": PLAIN, "test": PLAIN}


@dataclass(frozen=True)
class ExecutionPlan:
    """Says how the methods of a step are executed, by kind: "train" and "test".

    `fitx.build.execution_setup.prepare_execution` makes it for new runs, resumed runs and
    evaluations alike.

    Args:
        modes: The mode of each method.
        reasons: The reason for each mode, in words.
        sized: The methods whose full batches XLA compiles from a graph for that size, because it
            cannot compile the graph for batches of any size.
        device: The device that computes, as `tf.device` names it.
        returns_values: Whether a callback reads the values of batches.
        eager: Whether the step runs as Python, one batch a call.
    """

    modes: Mapping[str, Mode] = field(default_factory=_plain)
    reasons: Mapping[str, str] = field(default_factory=dict)
    sized: frozenset[str] = frozenset()
    device: str = ""
    returns_values: bool = False
    eager: bool = False
