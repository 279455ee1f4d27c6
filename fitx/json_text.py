"""Parses JSON strictly, and converts values to JSON."""

from __future__ import annotations

import json
import math
import numbers
import re
from collections import Counter
from pathlib import Path
from typing import Any

MAX_DEPTH = 200
"""The deepest nesting of lists and objects; readers of a value recurse into it."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)


def parse(text: str | bytes) -> Any:
    """Return the value of one JSON document.

    Raises:
        ValueError: It is not UTF-8, not JSON, nested deeper than `MAX_DEPTH` levels, holds a number
            that is not finite, or an object that has a key twice.
    """
    decoded = text.decode() if isinstance(text, bytes) else text
    if decoded.count("[") + decoded.count("{") > MAX_DEPTH:
        _refuse_deep(decoded)
    return json.loads(
        decoded,
        object_pairs_hook=_object,
        parse_float=_finite,
        parse_constant=_refuse_constant,
    )


def json_ready(value: Any) -> Any:
    """Return a value converted to JSON; NaN and infinities become "nan", "inf" and "-inf".

    Args:
        value: Mappings, sequences, sets, strings, numbers (NumPy's too), paths, None.

    Raises:
        TypeError: For anything else.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, dict):
        return {str(key): json_ready(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(json_ready(item) for item in value)
    if isinstance(value, Path):
        return str(value)
    return _json_number(value)


def _json_number(value: Any) -> Any:
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    if hasattr(value, "tolist"):
        return json_ready(value.tolist())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it has the key {twice!r} twice in one object")
    return members


def _finite(text: str) -> float:
    if math.isinf(number := float(text)):
        raise ValueError(f"{text} is too large a number")
    return number


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_deep(text: str) -> None:
    """Raise ValueError for text that is nested too deeply; brackets in strings do not count."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
