"""Checks of meta.json: each field against the schema, and all against metrics.jsonl."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fitx.json_model import parse_model
from fitx.rundir import journal
from fitx.rundir.file_schemas import CheckpointMeta

_RESHAPING = ("data.", "fit.steps_per_epoch:")


def parse_meta(meta: Any) -> CheckpointMeta:
    """Return a checkpoint's meta as a model.

    Raises:
        ValueError: A field of meta.json is invalid; with its name.
    """
    try:
        return parse_model(CheckpointMeta, meta, "meta")
    except ValueError as error:
        raise ValueError(f"meta.json: {error}") from error


def is_reshaping(change: str) -> bool:
    """Return whether a change listed in run.json may alter the number of steps of an epoch."""
    return change.startswith(_RESHAPING)


def meta_check(run: Path, facts: Mapping[str, Any]) -> Callable[[Any], None]:
    """Return a function that refuses a meta from which the run cannot be resumed.

    It raises ValueError if the meta contradicts the schema or metrics.jsonl, StorageError if
    metrics.jsonl is damaged or cannot be read. The file is read once, when it is first needed.

    Args:
        run: The run's folder.
        facts: The fields of run.json.
    """
    path, content = run / journal.NAME, cache(lambda: journal.content(run))
    lines = cache(lambda: content().split(b"\n"))
    epoch = cache(lambda index: journal.parse_line(lines()[index], f"{path}:{index + 1}"))

    def check(meta: Any) -> None:
        known = parse_meta(meta)
        before = _whole_lines(content(), known.journal_bytes)
        epochs = [epoch(index) for index in range(before)]
        _check_epochs(epochs)
        problem = _disagreement(known, epochs, is_reshaped=_is_reshaped(facts))
        if problem:
            raise ValueError(f"meta.json: {problem}")

    return check


def position_problem(
    meta: Mapping[str, Any], steps: int, batch_size: int, facts: Mapping[str, Any]
) -> str | None:
    """Return why a checkpoint's position is impossible in its experiment; None if it is possible.

    Args:
        meta: The checkpoint's meta.
        steps: Steps per epoch.
        batch_size: Rows per batch.
        facts: The fields of run.json; after some changes, earlier epochs had other steps.
    """
    if _is_reshaped(facts):
        return None
    steps_passed, epoch, step = meta["passed"], meta["epoch"], meta["step"]
    if meta["batch_size"] != batch_size:
        return f"meta.batch_size is {meta['batch_size']}, and the experiment says {batch_size}"
    if steps_passed > steps:
        return f"meta.passed is {steps_passed}, and an epoch has {steps} steps"
    if meta["phase"] == "validation" and steps_passed < steps and not meta["stopping"]:
        return f"meta.passed is {steps_passed}, and a validation comes after {steps} steps"
    if step > epoch * steps + steps_passed:
        return (
            f"meta.step is {step}, and {epoch} epochs of {steps} steps and {steps_passed} "
            "have fewer"
        )
    return None


def _is_reshaped(facts: Mapping[str, Any]) -> bool:
    """Return whether the epochs of a run may differ in their number of steps."""
    return any(
        is_reshaping(change) for one in facts.get("resumed", ()) for change in one["changes"]
    )


def _whole_lines(content: bytes, size: int) -> int:
    """Return the number of lines in the first `size` bytes of a journal.

    Raises:
        ValueError: There are fewer bytes, or they end inside a line.
    """
    if len(content) < size:
        raise ValueError(
            f"{journal.NAME} has {len(content)} bytes, and the checkpoint expects {size} or more"
        )
    if size and content[size - 1 : size] != b"\n":
        text = f"meta.journal_bytes is {size}, within a line of {journal.NAME}"
        raise ValueError(f"meta.json: {text}")
    return content.count(b"\n", 0, size)


def _check_epochs(lines: Iterable[Mapping[str, Any]]) -> None:
    """Raise ValueError unless lines hold consecutive epochs of at least one step each."""
    before = 0
    for number, line in enumerate(lines, start=1):
        where = f"{journal.NAME}:{number}"
        if line["epoch"] != number:
            raise ValueError(f"{where}: epoch: expected {number}, found {line['epoch']}")
        if line["step"] <= before:
            raise ValueError(f"{where}: step: expected more than {before}, found {line['step']}")
        before = line["step"]


def _disagreement(
    meta: CheckpointMeta, lines: list[dict[str, Any]], *, is_reshaped: bool
) -> str | None:
    """Return how a meta contradicts the lines before it; None if it does not."""
    name = journal.NAME
    if meta.epoch != len(lines):
        return f"meta.epoch is {meta.epoch}, and {name} held {len(lines)} epochs"
    before = lines[-1]["step"] if lines else 0
    steps_passed, best = meta.step - before, meta.best
    if steps_passed != meta.passed and (not is_reshaped or (steps_passed > 0) != (meta.passed > 0)):
        return f"meta.step is {meta.step}: not {meta.passed} more than the {before} in {name}"
    if best is not None and repr(lines[best.epoch - 1].get(best.monitor)) != repr(best.value):
        return f"meta.best is {best.monitor} {best.value} of epoch {best.epoch}; not so in {name}"
    return None
