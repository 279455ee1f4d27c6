"""A comparison, to the bit, of two finished runs that should be the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fitx import checkpoint
from fitx.checkpoint.state_file import Array
from fitx.errors import StorageError
from fitx.experiment.problems import shorten
from fitx.rundir import journal
from fitx.rundir.files import read_json

ARRAY_GROUPS = (
    *("networks", "optimizers", "means", "metrics", "step", "graph"),
    *("callbacks", "random", "best", "final"),
)
"""The first parts of array names, causes before consequences."""

UNCOMPARED = ("seconds", "begun", "journal_bytes", "run")
"""The keys of a checkpoint's meta that hold times, or identify the run."""


def results(run: Path) -> dict[str, Any]:
    """Read everything that a finished run is compared by.

    Returns:
        The arrays of its newest checkpoint, and values as JSON has them: the position, the states
        of callbacks, the logged values, the final values. The names say where each of them is
        found. Causes come before consequences.

    Raises:
        StorageError: The run has no checkpoint, or a file is damaged.
    """
    newest = checkpoint.newest(run / "checkpoints")
    if newest is None:
        raise StorageError(f"{run} has no checkpoint.")
    position = {key: value for key, value in newest.meta.items() if key not in UNCOMPARED}
    callbacks, best = position.pop("callbacks", {}), position.pop("best", None)
    arrays = {name: newest.state[name] for name in sorted(newest.state, key=_rank)}
    logged = {
        f"{journal.NAME}, epoch {line['epoch']}: {name}": value
        for line in journal.read(run)
        for name, value in line.items()
        if name not in UNCOMPARED
    }
    final = read_json(run / "summary.json").get("metrics", {})
    return {
        **_prefixed("meta.json: ", position),
        **arrays,
        **_prefixed("callback ", callbacks),
        "best epoch": best,
        **logged,
        **_prefixed("summary.json: ", final),
    }


def differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    """Return what differs between the results of two runs, each as `name: difference`."""
    lines = []
    for name in dict.fromkeys([*expected, *actual]):
        if name not in expected or name not in actual:
            text = "only one of the two runs has it"
        elif isinstance(expected[name], np.ndarray):
            text = _array_difference(expected[name], actual[name])
        else:
            text = _value_difference(expected[name], actual[name])
        if text:
            lines.append(f"{name}: {text}")
    return lines


def _rank(name: str) -> tuple[int, str]:
    group = name.partition("/")[0]
    return ARRAY_GROUPS.index(group) if group in ARRAY_GROUPS else len(ARRAY_GROUPS), name


def _prefixed(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": value for name, value in values.items()}


def _array_difference(expected: Array, actual: Array) -> str:
    """Describe how an array differs from the expected one; empty if every bit is the same."""
    forms = [f"{array.dtype} {array.shape}" for array in (expected, actual)]
    if forms[0] != forms[1]:
        return f"{forms[1]} instead of {forms[0]}"
    if expected.tobytes() == actual.tobytes():
        return ""
    count = int(np.any(_bytes(expected) != _bytes(actual), axis=1).sum())
    kind = np.complex128 if expected.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        largest = float(np.max(np.abs(expected.astype(kind) - actual.astype(kind))))
    by_most = f", by at most {largest:.3g}" if np.isfinite(largest) else ""
    return f"{count:,} of {expected.size:,} numbers differ{by_most}"


def _bytes(array: Array) -> Array:
    """Return the bytes of an array, one row per number."""
    raw = np.frombuffer(array.tobytes(), np.uint8)
    return raw.reshape(array.size, array.dtype.itemsize)


def _value_difference(expected: Any, actual: Any) -> str:
    # As text, NaN equals itself, and every float differs from all others.
    texts = [json.dumps(value, sort_keys=True) for value in (expected, actual)]
    return "" if texts[0] == texts[1] else f"{shorten(texts[1])} instead of {shorten(texts[0])}"
