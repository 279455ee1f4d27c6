"""The result of a command, and whether it meets the experiment's `expect:`."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fitx.errors import ExpectationError
from fitx.experiment.schema import parse_expectation

_COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Result:
    """The values that a training or an evaluation ended with.

    Args:
        run: The run folder; None for the evaluation of an untrained experiment.
        split: The split of the last evaluation; None without one.
        metrics: Final values by name; after training, those of the test split begin with `test_`.
        details: More values for `--json`: epochs, steps, seconds, the best epoch, expectations.
    """

    run: Path | None
    split: str | None
    metrics: dict[str, float]
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the result as the JSON object that `--json` prints."""
        run = str(self.run) if self.run is not None else None
        return {"run": run, "split": self.split, "metrics": self.metrics, **self.details}


def judge_expectations(expect: dict[str, str], values: dict[str, float]) -> list[dict[str, object]]:
    """Return each expectation with the value reached and whether it is met."""
    judged: list[dict[str, object]] = []
    for name, text in expect.items():
        sign, bound = parse_expectation(text)
        value = values.get(name)
        is_met = value is not None and bool(_COMPARISONS[sign](value, bound))
        judged.append({"name": name, "expected": text, "found": value, "met": is_met})
    return judged


def refuse_unmet(judged: list[dict[str, object]]) -> None:
    """Raise ExpectationError that names every expectation which is not met."""
    unmet = [
        f"expected {e['name']} {e['expected']}, found {_value_text(e['found'])}"
        for e in judged
        if not e["met"]
    ]
    if unmet:
        raise ExpectationError("\n".join(unmet))


def _value_text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "no such value"


def relative_to_cwd(path: Path) -> Path:
    """Return a path relative to the working directory, as the user may type it; else unchanged."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve())
    except (ValueError, OSError):
        return path
