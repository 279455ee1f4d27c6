"""The ways to execute a step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mode:
    """How a step's batches are executed.

    Args:
        name: As the experiment file says it.
        fused: Whether one call runs many batches, in a loop inside the graph.
        xla: Whether XLA compiles what one call runs into one program.
    """

    name: str
    fused: bool
    xla: bool

    @property
    def takes_blocks(self) -> bool:
        """Whether it is fed many batches in one piece; else one batch after the other."""
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
