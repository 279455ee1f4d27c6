"""Effective values of an experiment by key: finds the differences of two, and shows values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from fitx.experiment.checks.options import shared_options
from fitx.experiment.experiment import Experiment
from fitx.experiment.schema import SECTIONS
from fitx.experiment.yaml.tree import KeyPath, dotted
from fitx.registry import keras_parts
from fitx.registry.kinds import Part
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import NO_DEFAULT

ABSENT = object()
"""The value of a key that is missing."""

MOST_LEVELS = 4
"""The most levels of a nested value that a message shows."""

_MONITOR_OPTIONS = ("monitor", "mode")
"""Options that name a logged value, and the direction in which it is better."""

_WRITING = {"CSVLogger": ("append", "separator")}
"""Options on how a callback writes its file, which do not identify the callback."""

_COMPARED_KEYS = (
    *("name", "seed", "step", "networks", "optimizers", "after"),
    *("loss", "loss_weights", "metrics", "weighted_metrics", "data", "callbacks", "expect"),
)


def effective_values(experiment: Experiment) -> dict[str, Any]:
    """Return the effective values by key, with all defaults and the values of `${env:...}`."""
    parts: dict[str, Any] = {}
    for key in _COMPARED_KEYS:
        optimizers = experiment.optimizers_by_key
        parts |= optimizers if key == "optimizers" else {key: getattr(experiment, key)}
    sections = {key: getattr(experiment, key).model_dump() for key in SECTIONS}
    return {
        key: _full(value, experiment.part_index) for key, value in {**parts, **sections}.items()
    }


def callback_options(experiment: Experiment) -> list[str]:
    """Return the name and options of each callback as JSON, which identify it in checkpoints.

    Spelling does not matter: `0` is `0.0`, and `early_stopping` is `EarlyStopping`. `${env:...}`
    stays as it was written, except in the options `monitor` and `mode`.
    """
    as_written = experiment.as_mapping()["callbacks"]
    identities = map(_identity, effective_values(experiment)["callbacks"], as_written)
    return [json.dumps(options, sort_keys=True) for options in identities]


def _identity(callback: Part, shown: dict[str, Any]) -> dict[str, Any]:
    left_out, identity = _WRITING.get(callback.name, ()), {}
    for path, value in leaf_values(callback):
        if path[-1] not in left_out:
            as_written = shown_text(shown, path, value)
            is_hidden = "${" in as_written and path[-1] not in _MONITOR_OPTIONS
            identity[dotted(path)] = as_written if is_hidden else _normalized(value)
    return identity


def _normalized(value: Any) -> Any:
    """Return a value for JSON in which equal values have equal texts."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return value if value is None or isinstance(value, bool) else str(value)


def leaf_values(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every value that contains no others, with its key."""
    if isinstance(value, Part):
        yield (*path, "name"), value.name
        value = value.options
    items = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else items:
        yield from leaf_values(item, (*path, key))
    if not isinstance(value, dict | list):
        yield path, value


def find_differences(old: Any, new: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any, Any]]:
    """Yield key, old and new value of each difference; for parts of different names, the names."""
    if isinstance(old, Part) and isinstance(new, Part):
        if old.name != new.name:
            yield (*path, "name"), old.name, new.name
            return
        old, new = old.options, new.options
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from find_differences(old.get(key, ABSENT), new.get(key, ABSENT), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index, pair in enumerate(zip_longest(old, new, fillvalue=ABSENT)):
            yield from find_differences(*pair, (*path, index))
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, old, new


def shown_text(shown: Any, path: KeyPath, value: Any) -> str:
    """Return a value as a message shows it: `${env:...}` as it was written, a part by its name.

    Args:
        shown: What `Experiment.as_mapping` returns.
        path: The key of the value.
        value: The effective value, which may be a default or absent.
    """
    for component in (*path, "name") if isinstance(value, Part) else path:
        try:
            shown = shown[component]
        except (LookupError, TypeError):
            return value_text(value)
    return value_text(shown)


def value_text(value: Any, levels: int = MOST_LEVELS) -> str:
    """Return a value as a message shows it."""
    if value is ABSENT:
        return "not set"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list) and not levels:
        return "..."
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {value_text(v, levels - 1)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(value_text(item, levels - 1) for item in value)}]"
    return str(value) if str(value).isprintable() else repr(str(value))


def _full(value: Any, part_index: PartIndex) -> Any:
    if isinstance(value, Part):
        signature = part_index.signature(value.kind, value.name)
        parameters = signature.parameters if signature else ()
        parameters += shared_options(value.kind, value.name)
        defaults = {p.name: p.default for p in parameters if p.default is not NO_DEFAULT}
        options = {k: _full(v, part_index) for k, v in {**defaults, **value.options}.items()}
        return replace(value, name=_canonical_name(value), options=options)
    if isinstance(value, dict):
        return {key: _full(item, part_index) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_full(item, part_index) for item in value]
    return value


def _canonical_name(part: Part) -> str:
    """Return the one name of a Keras part that has several; a metric keeps the name it logs by."""
    name = None if part.kind == "metric" else keras_parts.class_name(part.kind, part.name)
    return name or part.name
