"""The effect of each change of an experiment on a resumed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from fitx.experiment.yaml.tree import KeyPath

Verdict: TypeAlias = Literal["harmless", "inexact", "incompatible"]
"""The effect of a change on a resumed run: the same result, another result, or no resume at all."""


def verdict(path: KeyPath, old: Any, new: Any) -> Verdict:
    """Return the effect of a change of one key on a resumed run.

    An option that changes the shape of a variable counts as inexact: the checkpoint shows it later.
    """
    match path:
        case ("name" | "callbacks" | "checkpoint" | "expect", *_):
            return "harmless"
        case ("fit", "epochs" | "allow_nan", *_):
            return "harmless"
        case _ if isinstance(old, Path) and isinstance(new, Path):
            # The path of a file does not matter: its content is compared by a hash.
            return "harmless"
        case ("after", *_) | ("step", "name") | ("metrics" | "weighted_metrics", *_):
            return "incompatible"
        case ("optimizer" | "optimizers",) | ("optimizer", "name"):
            return "incompatible"
        case ("networks" | "optimizers", _) | ("networks" | "optimizers", _, "name"):
            return "incompatible"
    return "inexact"
