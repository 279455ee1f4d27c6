"""Results as the lines that people read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fitx.run.result import Result


def result_lines(result: Result) -> Iterator[str]:
    """Yield the lines of a result: values one a line, expectations, the run folder."""
    width = max(map(len, result.metrics), default=0)
    for name, value in result.metrics.items():
        yield f"{name:<{width}}  {value:.6g}"
    for judged in result.facts.get("expect", ()):
        yield _expectation(judged)
    if result.run is not None:
        yield f"run: {result.run}"


def _expectation(judged: dict[str, Any]) -> str:
    met = "met" if judged["met"] else "missed"
    return f"expected {judged['name']} {judged['expected']}: {met}"
