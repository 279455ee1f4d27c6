"""Whether a run reached what its experiment's `expect:` asks for."""

from __future__ import annotations

import operator

from fitx.errors import ExpectationError
from fitx.experiment.schema import comparison

_SIGNS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


def judge(expect: dict[str, str], values: dict[str, float]) -> list[dict[str, object]]:
    """Return each expectation with the value found and whether it is met."""
    judged: list[dict[str, object]] = []
    for name, text in expect.items():
        sign, bound = comparison(text)
        value = values.get(name)
        met = value is not None and bool(_SIGNS[sign](value, bound))
        judged.append({"name": name, "expected": text, "found": value, "met": met})
    return judged


def demand(judged: list[dict[str, object]]) -> None:
    """Raise ExpectationError naming every expectation that is not met."""
    missed = [
        f"expected {e['name']} {e['expected']}, found {_shown(e['found'])}"
        for e in judged
        if not e["met"]
    ]
    if missed:
        raise ExpectationError("\n".join(missed))


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "no such value"
