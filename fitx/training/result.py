"""What a command hands back: the values of a run, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """The outcome of training or evaluating.

    Args:
        run: The run folder; None when an untrained experiment was evaluated.
        split: What the last evaluation ran on; None if nothing was evaluated.
        metrics: Final values by name; those of the test split begin with `test_` after training.
        facts: More for JSON: epochs, steps, seconds, the best epoch, expectations.
    """

    run: Path | None
    split: str | None
    metrics: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the result as the one JSON object of `--json`."""
        run = str(self.run) if self.run is not None else None
        return {"run": run, "split": self.split, "metrics": self.metrics, **self.facts}


def relative_to_cwd(path: Path) -> Path:
    """Return a path as the user may type it again."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve())
    except (ValueError, OSError):
        return path
