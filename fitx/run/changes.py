"""What differs between a run as it was trained and what is asked for now, judged key by key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, TypeAlias

from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.experiment.options import batch_options
from fitx.experiment.problems import shorten
from fitx.experiment.tree import Path as KeyPath
from fitx.experiment.tree import dotted
from fitx.registry import keras_parts
from fitx.registry.catalogue import Catalogue
from fitx.registry.kinds import Part
from fitx.registry.signature import NO_DEFAULT

Verdict: TypeAlias = Literal["harmless", "inexact", "unfit"]
"""Whether a run that goes on ends as it would have ended, ends otherwise, or cannot go on."""

ENVIRONMENT = (
    *("python", "machine", "processor", "versions", "variables"),
    *("device_kind", "threads", "precision", "strategy", "replicas", "data"),
)
"""What of run.json decides the bits of the results, or may."""

_ABSENT = object()
_MOST_TEXT = 100
_MOST_LEVELS = 4  # Of what is nested.


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


def compare(trained: Experiment, asked: Experiment) -> list[Change]:
    """Return every key in which two experiments differ, by what is computed.

    Defaults count as if they were written, names of one Keras part as one, and a variable of
    the environment as what it stands for. Plugins are compared by their hashes, elsewhere.
    """
    shown = trained.plain(), asked.plain()
    changes = []
    for path, old, new in _differing(_values(trained), _values(asked), ()):
        before, now = _written(shown[0], path, old), _written(shown[1], path, new)
        changes.append(Change(dotted(path), before, now, _verdict(path, old, new)))
    return changes


def compare_environment(trained: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """Return what differs between the facts of run.json and those of now.

    Args:
        trained: The facts of run.json.
        now: As much as is known yet: `rundir.environment.describe()` before TensorFlow has
            started, what of `ENVIRONMENT` it alone knows afterwards.
    """
    known = [key for key in ENVIRONMENT if key in trained and key in now]
    before, after = ({key: _fact(key, facts[key]) for key in known} for facts in (trained, now))
    return [
        Change(dotted(path), _fact_text(path, old), _fact_text(path, new), _verdict_of_fact(path))
        for path, old, new in _differing(before, after, ())
    ]


def demand(changes: Iterable[Change], *, allow_inexact: bool = False) -> None:
    """Raise UsageError that lists every change with which a run cannot go on."""
    changes = list(changes)
    unfit = [f"  {change}" for change in changes if change.verdict == "unfit"]
    inexact = [f"  {change}" for change in changes if change.verdict == "inexact"]
    lines = []
    if unfit:
        lines += ["the run cannot go on with what does not fit what was trained:", *unfit]
    if inexact and not allow_inexact:
        lines += ["the run cannot go on exactly as it was trained:", *inexact]
    if unfit:
        lines += ["Train a new run with `fitx train`."]
    elif lines:
        lines += ["`--allow-inexact` goes on with that, no longer bit-exact."]
    if lines:
        raise UsageError("\n".join(lines))


def notes(changes: Iterable[Change]) -> list[str]:
    """Return a line for each change that a run goes on with."""
    remarks = {"processor": ": the last bits may differ"}
    inexact = ": no longer bit-exact"
    return [
        f"{change}{inexact if change.verdict == 'inexact' else remarks.get(change.key, '')}"
        for change in changes
    ]


def _values(experiment: Experiment) -> dict[str, Any]:
    """Return what an experiment says, with all defaults and `${env:}` resolved."""
    said = {
        **{key: getattr(experiment, key) for key in ("name", "seed", "step", "networks")},
        **{key: getattr(experiment, key) for key in ("optimizers", "loss", "metrics", "data")},
        **{key: getattr(experiment, key).model_dump() for key in ("fit", "checkpoint")},
        **{"execution": experiment.execution.model_dump(), "expect": experiment.expect},
        "callbacks": experiment.callbacks,
    }
    return {key: _full(value, experiment.catalogue) for key, value in said.items()}


def _full(value: Any, catalogue: Catalogue) -> Any:
    if isinstance(value, Part):
        signature = catalogue.signature(value.kind, value.name)
        parameters = signature.parameters if signature else ()
        parameters += batch_options() if value.kind == "dataset" else ()
        defaults = {p.name: p.default for p in parameters if p.default is not NO_DEFAULT}
        options = {k: _full(v, catalogue) for k, v in {**defaults, **value.options}.items()}
        return replace(value, name=_called(value), options=options)
    if isinstance(value, dict):
        return {key: _full(item, catalogue) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_full(item, catalogue) for item in value]
    return value


def _called(part: Part) -> str:
    """Return one name for all that a Keras part goes by; a metric is logged by its own."""
    known = None if part.kind == "metric" else keras_parts.class_name(part.kind, part.name)
    return known or part.name


def _differing(old: Any, new: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Yield where two values differ, and how; of parts of different names, the names alone."""
    if isinstance(old, Part) and isinstance(new, Part):
        if old.name != new.name:
            yield (*path, "name"), old.name, new.name
            return
        old, new = old.options, new.options
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _differing(old.get(key, _ABSENT), new.get(key, _ABSENT), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index, pair in enumerate(zip_longest(old, new, fillvalue=_ABSENT)):
            yield from _differing(*pair, (*path, index))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, old, new


def _verdict(path: KeyPath, old: Any, new: Any) -> Verdict:
    match path:
        case ("name" | "callbacks" | "checkpoint" | "expect", *_) | ("fit", "epochs"):
            return "harmless"
        case ("data", *_) if isinstance(old, Path) and isinstance(new, Path):
            # Where the numbers are does not matter; they are compared by their hash.
            return "harmless"
        case ("step", "name") | ("metrics", *_):
            return "unfit"
        case ("networks" | "optimizers", _) | ("networks" | "optimizers", _, "name"):
            return "unfit"
    return "inexact"


def _verdict_of_fact(path: KeyPath) -> Verdict:
    return "harmless" if path == ("processor",) else "inexact"


def _fact(key: str, value: Any) -> Any:
    return ".".join(str(value).split(".")[:2]) if key == "python" else value


def _fact_text(path: KeyPath, value: Any) -> str:
    # As git does, a hash is told by its first characters.
    return _text(value)[:12] if path[-1] == "sha256" else _text(value)


def _written(shown: Any, path: KeyPath, value: Any) -> str:
    """Return the value at a path as the experiment writes it; it may be a default, or absent.

    Of a part, that is its name.
    """
    for step in (*path, "name") if isinstance(value, Part) else path:
        try:
            shown = shown[step]
        except (LookupError, TypeError):
            return _text(value)
    return _text(shown)


def _text(value: Any, levels: int = _MOST_LEVELS) -> str:
    if value is _ABSENT:
        return "not set"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list) and not levels:
        return "..."
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {_text(v, levels - 1)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(_text(item, levels - 1) for item in value)}]"
    return str(value) if str(value).isprintable() else repr(str(value))
