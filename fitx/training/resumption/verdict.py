"""What it means for a run that a key of its experiment is another than it was trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from fitx.experiment.yaml.tree import KeyPath

Verdict: TypeAlias = Literal["harmless", "inexact", "incompatible"]
"""Whether a run that goes on ends as it would have ended, ends otherwise, or cannot go on."""


def verdict(path: KeyPath, old: Any, new: Any) -> Verdict:
    """Judge the change of one key; whether a changed option alters shapes shows only later."""
    match path:
        case ("name" | "callbacks" | "checkpoint" | "expect", *_):
            return "harmless"
        case ("fit", "epochs" | "allow_nan", *_):
            return "harmless"
        case _ if isinstance(old, Path) and isinstance(new, Path):
            # Where a file is does not matter; what is read is compared by its hash.
            return "harmless"
        case ("step", "name") | ("metrics" | "weighted_metrics", *_):
            return "incompatible"
        case ("networks" | "optimizers", _) | ("networks" | "optimizers", _, "name"):
            return "incompatible"
    return "inexact"
