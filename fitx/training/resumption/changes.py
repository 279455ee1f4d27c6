"""What differs between a run as it was trained and what is asked for now, judged key by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.experiment.problems import shorten
from fitx.experiment.yaml.tree import KeyPath, dotted
from fitx.training.resumption.env_seals import fits
from fitx.training.resumption.experiment_values import differing, leaves, text, values, written
from fitx.training.resumption.verdict import Verdict, verdict

ENVIRONMENT = (
    *("python", "machine", "processor", "versions", "variables"),
    *("device_kind", "accelerator", "threads", "precision", "strategy", "replicas"),
    *("data", "files"),
)
"""What of run.json decides the bits of the results, or may."""

_MOST_TEXT = 100


@dataclass(frozen=True)
class Change:
    """One key that differs.

    Attributes:
        key: Where, with dots: `data.batch_size`, `versions.keras`.
        old: What it was, as it may be shown: `${env:...}` stays as it was written.
        new: What it is to be.
        verdict: What that means for the run.
    """

    key: str
    old: str
    new: str
    verdict: Verdict

    def __str__(self) -> str:
        if self.old == self.new and "${" in self.new:
            return f"{self.key}: {self.new} stands for another value now"
        old, new = shorten(self.old, _MOST_TEXT), shorten(self.new, _MOST_TEXT)
        if old == new:
            old, new = self.old, self.new
        return f"{self.key}: {old} -> {new}"


def compare(
    trained: Experiment, asked: Experiment, sealed: Mapping[str, str] | None = None
) -> list[Change]:
    """Return every key in which two experiments differ, by what is computed.

    Defaults count as if they were written, names of one Keras part as one, and a variable of
    the environment as what it stands for. Plugins are compared by their hashes, elsewhere.

    Args:
        trained: The experiment of a run, read now.
        asked: The experiment that is to go on.
        sealed: What run.json calls `references`: what the run's variables stood for.
    """
    before, now = trained.as_mapping(), asked.as_mapping()
    return [
        Change(
            key=dotted(path),
            old=written(before, path, old),
            new=written(now, path, new),
            verdict=verdict(path, old, new),
        )
        for path, (old, new) in _differing(values(trained), values(asked), sealed or {}).items()
    ]


def compare_environment(trained: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return what differs between the facts of run.json and those of now.

    Args:
        trained: The facts of run.json.
        now: The result of `run_environment.describe_environment()` before TensorFlow is
            imported; afterwards the other keys of `ENVIRONMENT`.
    """
    known = [key for key in ENVIRONMENT if key in trained and key in now]
    before, after = ({key: _fact(key, facts[key]) for key in known} for facts in (trained, now))
    return [
        Change(dotted(path), _fact_text(path, old), _fact_text(path, new), _verdict_of_fact(path))
        for path, old, new in differing(before, after, ())
    ]


def refuse_incompatible(changes: Iterable[Change], *, allow_inexact: bool = False) -> None:
    """Raise UsageError that lists every change with which a run cannot go on."""
    changes = list(changes)
    incompatible = [f"  {change}" for change in changes if change.verdict == "incompatible"]
    inexact = [f"  {change}" for change in changes if change.verdict == "inexact"]
    lines = []
    if incompatible:
        lines += ["the run cannot go on with what does not fit what was trained:", *incompatible]
    if inexact and not allow_inexact:
        lines += ["the run cannot go on exactly as it was trained:", *inexact]
    if incompatible:
        lines += ["Train a new run with `fitx train`."]
    elif lines:
        lines += ["`--allow-inexact` goes on with that, no longer bit-exact."]
    if lines:
        raise UsageError("\n".join(lines))


def change_notes(changes: Iterable[Change]) -> list[str]:
    """Return a line for each change that a run goes on with."""
    remarks = {"processor": ": the last bits may differ"}
    inexact = ": no longer bit-exact"
    return [
        f"{change}{inexact if change.verdict == 'inexact' else remarks.get(change.key, '')}"
        for change in changes
    ]


def _differing(
    before: dict[str, Any], now: dict[str, Any], sealed: Mapping[str, str]
) -> dict[KeyPath, tuple[Any, Any]]:
    found = {path: (old, new) for path, old, new in differing(before, now)}
    for path, value in leaves(now):
        seal = sealed.get(dotted(path))
        if seal is None:
            continue
        if fits(seal, dotted(path), value):
            # The run's variable stands for something else today; what is asked for does not.
            found.pop(path, None)
        else:
            found.setdefault(path, (value, value))
    return found


def _verdict_of_fact(path: KeyPath) -> Verdict:
    return "harmless" if path == ("processor",) else "inexact"


def _fact(key: str, value: Any) -> Any:
    return ".".join(str(value).split(".")[:2]) if key == "python" else value


def _fact_text(path: KeyPath, value: Any) -> str:
    # As git does, a hash is told by its first characters.
    return text(value)[:12] if path[-1] == "sha256" else text(value)
