"""In what two runs differ that should be the same to the bit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fitx import checkpoint
from fitx.checkpoint.state_file import Array, State
from fitx.errors import StorageError
from fitx.experiment.problems import shorten
from fitx.rundir import journal
from fitx.rundir.files import read_json

ORDER = (
    *("networks", "optimizers", "means", "metrics", "step", "graph"),
    *("callbacks", "random", "best", "final"),
)
"""How the names of arrays begin, those first from which the others follow."""

TIMES = ("seconds", "begun", "journal_bytes", "run")
"""What a checkpoint says of how long things took, and of which run it is: never twice the same."""


@dataclass(frozen=True)
class Outcome:
    """What a run had come to at one of its checkpoints.

    Attributes:
        state: Its arrays by name.
        facts: What else the checkpoint holds, times aside.
        epochs: What was logged until then, without seconds.
        values: The final values, test included; empty if it was not the end.
    """

    state: State
    facts: dict[str, Any]
    epochs: list[dict[str, Any]]
    values: dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """Something that is not the same.

    Attributes:
        kind: The first part of an array's name, such as `networks`; or what a checkpoint says in
            words (`position`, `callbacks`, `best`), the `journal`, the final `values`.
        name: What differs.
        text: How it differs.
    """

    kind: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


def outcome(run: Path, name: str | None = None) -> Outcome:
    """Read what a run had come to.

    Args:
        run: Its folder.
        name: That of a checkpoint's folder; None for the end.

    Raises:
        StorageError: There is no such checkpoint, or something is damaged.
    """
    if name is not None:
        state, meta = checkpoint.load(run / "checkpoints" / name)
        return _outcome(run, state, meta, {})
    newest = checkpoint.newest(run / "checkpoints")
    if newest is None:
        raise StorageError(f"{run} has no checkpoint.")
    values = dict(read_json(run / "summary.json").get("metrics", {}))
    return _outcome(run, newest.state, newest.meta, values)


def _outcome(run: Path, state: State, meta: dict[str, Any], values: dict[str, Any]) -> Outcome:
    facts = {key: value for key, value in meta.items() if key not in TIMES}
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in journal.read(run)]
    return Outcome(state, facts, lines[: meta["epoch"]], values)


def differences(expected: Outcome, found: Outcome) -> list[Difference]:
    """Return everything in which two outcomes differ, first that from which the rest may follow."""
    told = (_in_words(expected.facts), _in_words(found.facts))
    of_facts = list(_of_values(*told))
    return [
        *(one for one in of_facts if one.kind == "position"),
        *_of_arrays(expected.state, found.state),
        *(one for one in of_facts if one.kind != "position"),
        *_of_epochs(expected.epochs, found.epochs),
        *_of_values(_under("values", expected.values), _under("values", found.values)),
    ]


def _of_arrays(expected: State, found: State) -> Iterator[Difference]:
    for name in sorted(expected.keys() | found.keys(), key=_rank):
        text = _unlike(expected.get(name), found.get(name))
        if text:
            yield Difference(_rank(name)[1], name, text)


def _rank(name: str) -> tuple[int, str, str]:
    kind = name.partition("/")[0]
    return ORDER.index(kind) if kind in ORDER else len(ORDER), kind, name


def _unlike(expected: Array | None, found: Array | None) -> str:
    """Say how an array is not the other; empty if it is, to the bit."""
    if expected is None or found is None:
        return "only one of the two has it"
    forms = [f"{array.dtype} {array.shape}" for array in (expected, found)]
    if forms[0] != forms[1]:
        return f"{forms[1]} instead of {forms[0]}"
    if expected.tobytes() == found.tobytes():
        return ""
    count = int(np.any(_bytes(expected) != _bytes(found), axis=1).sum())
    return f"{count:,} of {expected.size:,} numbers differ{_largest(expected, found)}"


def _bytes(array: Array) -> Array:
    """Return the bytes of an array, a row for each number."""
    raw = np.frombuffer(array.tobytes(), np.uint8)
    return raw.reshape(array.size, array.dtype.itemsize)


def _largest(expected: Array, found: Array) -> str:
    """Say by how much numbers differ, where that is a number."""
    kind = np.complex128 if expected.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        largest = float(np.max(np.abs(expected.astype(kind) - found.astype(kind))))
    return f", by at most {largest:.3g}" if np.isfinite(largest) else ""


def _in_words(facts: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Return what a checkpoint says besides its arrays; of callbacks, each by itself."""
    callbacks = facts.get("callbacks", {})
    told = {("callbacks", f"callback {name}"): state for name, state in callbacks.items()}
    for key, value in facts.items():
        if key != "callbacks":
            told["best" if key == "best" else "position", key] = value
    return told


def _under(kind: str, values: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    return {(kind, name): value for name, value in values.items()}


def _of_values(
    expected: Mapping[tuple[str, str], Any], found: Mapping[tuple[str, str], Any]
) -> Iterator[Difference]:
    for kind, name in dict.fromkeys([*expected, *found]):
        texts = [_text(values.get((kind, name))) for values in (expected, found)]
        if texts[0] != texts[1]:
            yield Difference(kind, name, f"{shorten(texts[1])} instead of {shorten(texts[0])}")


def _of_epochs(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> Iterator[Difference]:
    if len(expected) != len(found):
        text = f"{len(found)} lines instead of {len(expected)}"
        yield Difference("journal", journal.NAME, text)
    for before, after in zip(expected, found, strict=False):
        kind = f"epoch {before.get('epoch')} in {journal.NAME}"
        for one in _of_values(_under(kind, before), _under(kind, after)):
            yield Difference("journal", f"{one.kind}: {one.name}", one.text)


def _text(value: Any) -> str:
    """Return a value as text that tells NaN equal to itself, and each float from all others."""
    return "nothing" if value is None else json.dumps(value, sort_keys=True)
