"""Compares a run with the experiment and environment of a resume, and judges each change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.experiment.problems import shorten
from fitx.experiment.yaml.tree import KeyPath, dotted
from fitx.training.resumption.env_seals import is_sealed_value
from fitx.training.resumption.experiment_values import (
    effective_values,
    find_differences,
    leaf_values,
    shown_text,
    value_text,
)
from fitx.training.resumption.verdicts import Verdict, verdict

ENVIRONMENT = (
    *("python", "machine", "processor", "versions", "variables"),
    *("device_kind", "accelerator", "threads", "precision", "strategy", "replicas"),
    *("data", "files"),
)
"""The fields of run.json that decide the exact results, or may."""

_MOST_TEXT = 100
"""The most characters that a message shows of a value."""


@dataclass(frozen=True)
class Change:
    """The change of one key.

    Attributes:
        key: The key with dots: `data.batch_size`, `versions.keras`.
        old: The old value as text; `${env:...}` stays as it was written.
        new: The new value as text.
        verdict: The effect on the run.
    """

    key: str
    old: str
    new: str
    verdict: Verdict

    def __str__(self) -> str:
        if self.old == self.new and "${" in self.new:
            return f"{self.key}: {self.new} now has another value"
        old, new = shorten(self.old, _MOST_TEXT), shorten(self.new, _MOST_TEXT)
        if old == new:
            old, new = self.old, self.new
        return f"{self.key}: {old} -> {new}"


def compare_experiments(
    trained: Experiment, experiment: Experiment, sealed: Mapping[str, str] | None = None
) -> list[Change]:
    """Return every key whose effective value differs between two experiments.

    Defaults count as if they were written, all names of one Keras part are the same, and
    `${env:...}` counts as its value. Plugins are compared elsewhere, by their hashes.

    Args:
        trained: The experiment of a run, read now.
        experiment: The experiment to continue with.
        sealed: `references` of run.json: the sealed values of the run's `${env:...}`.
    """
    before, now = trained.as_mapping(), experiment.as_mapping()
    differences = _differences(
        effective_values(trained), effective_values(experiment), sealed or {}
    )
    return [
        Change(
            key=dotted(path),
            old=shown_text(before, path, old),
            new=shown_text(now, path, new),
            verdict=verdict(path, old, new),
        )
        for path, (old, new) in differences.items()
    ]


def compare_environment(trained: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return the fields of `ENVIRONMENT` that differ; those that one side lacks are left out.

    Args:
        trained: The fields of run.json.
        now: Those of `run_environment.describe_environment` before TensorFlow is
            imported, the others afterwards.
    """
    keys = [key for key in ENVIRONMENT if key in trained and key in now]
    before, after = ({key: _compared(key, side[key]) for key in keys} for side in (trained, now))
    return [
        Change(dotted(path), _field_text(path, old), _field_text(path, new), _field_verdict(path))
        for path, old, new in find_differences(before, after, ())
    ]


def refuse_incompatible(changes: Iterable[Change], *, allow_inexact: bool = False) -> None:
    """Raise UsageError that lists every change with which the run cannot be resumed."""
    changes = list(changes)
    incompatible = [f"  {change}" for change in changes if change.verdict == "incompatible"]
    inexact = [f"  {change}" for change in changes if change.verdict == "inexact"]
    lines = []
    if incompatible:
        title = "the run cannot be resumed: these changes do not fit its checkpoints:"
        lines += [title, *incompatible]
    if inexact and not allow_inexact:
        lines += ["the run cannot be resumed exactly: these changes affect its result:", *inexact]
    if incompatible:
        lines += ["Train a new run with `fitx train`."]
    elif lines:
        remedy = "Use `--allow-inexact` to resume anyway"
        lines += [f"{remedy}; the result will no longer be bit-identical."]
    if lines:
        raise UsageError("\n".join(lines))


def change_notes(changes: Iterable[Change]) -> list[str]:
    """Return a line for each change that a run is resumed with."""
    remarks = {"processor": ": the last bits may differ"}
    inexact = ": no longer bit-identical"
    return [
        f"{change}{inexact if change.verdict == 'inexact' else remarks.get(change.key, '')}"
        for change in changes
    ]


def _differences(
    before: dict[str, Any], now: dict[str, Any], sealed: Mapping[str, str]
) -> dict[KeyPath, tuple[Any, Any]]:
    differences = {path: (old, new) for path, old, new in find_differences(before, now)}
    for path, value in leaf_values(now):
        seal = sealed.get(dotted(path))
        if seal is None:
            continue
        if is_sealed_value(seal, dotted(path), value):
            # Only the value of the run's variable has changed since; the new value is as trained.
            differences.pop(path, None)
        else:
            differences.setdefault(path, (value, value))
    return differences


def _field_verdict(path: KeyPath) -> Verdict:
    return "harmless" if path == ("processor",) else "inexact"


def _compared(key: str, value: Any) -> Any:
    return ".".join(str(value).split(".")[:2]) if key == "python" else value


def _field_text(path: KeyPath, value: Any) -> str:
    # A hash is shortened to 12 characters, as git does.
    return value_text(value)[:12] if path[-1] == "sha256" else value_text(value)
