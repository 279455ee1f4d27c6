"""Which mode suits a step, by a fixed rule on what it computes: the same file always runs alike."""

from __future__ import annotations

from fitx.engine.count import Count
from fitx.engine.mode import MODES, Mode


def choose(work: Count, device_kind: str) -> tuple[Mode, str]:
    return MODES["plain"], "no rule yet"


def is_sensible(mode: Mode, work: Count, device_kind: str) -> bool:
    return mode.name != "fused_xla" or not (work.convolutions or work.loops)
