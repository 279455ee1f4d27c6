"""Names and numbers that redaction must not hide, even if an environment variable holds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from fitx.experiment.schema import Settings
from fitx.experiment.yaml.tree import KeyPath, Node
from fitx.registry.kinds import Part

_SECTIONS = ("version", "name", "seed", "fit", "checkpoint", "execution", "expect")
"""Keys whose values are numbers, choices, or names of logged values."""

_LOGGED = {"callbacks": "monitor", "metrics": "as", "weighted_metrics": "as"}
"""Options that name a logged value, by the key of the list of parts."""


def names_and_numbers(settings: Settings, tree: Node) -> Iterator[str]:
    """Yield numbers, and the names of the run, of parts, logged values and plugins, as written.

    All other text may be a secret, including digits that an option takes as text.
    """
    values = [getattr(settings, key) for key in Settings.model_fields]
    texts = set(_texts(values))
    yield from (part.name for part in _parts(values))
    for path, node in tree.walk():
        if node.raw is None or node.text is None:
            continue
        is_number = not isinstance(node.value, str) and node.text not in texts
        if is_number or _is_name(path):
            yield node.text
        elif path[0] == "plugins":
            yield PurePath(node.text).name


def _is_name(path: KeyPath) -> bool:
    is_option = len(path) >= len(("callbacks", 0, "monitor"))
    return path[0] in _SECTIONS or (is_option and _LOGGED.get(str(path[0])) == path[-1])


def _parts(value: Any) -> Iterator[Part]:
    """Yield every part within a value, including parts within options."""
    if isinstance(value, Part):
        yield value
    for item in _items(value):
        yield from _parts(item)


def _texts(value: Any) -> Iterator[str]:
    """Yield every string within a value, except names of parts."""
    if isinstance(value, str):
        yield value
    for item in _items(value):
        yield from _texts(item)


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, Part):
        yield from value.options.values()
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
