"""Changes from the command line: `a.b=v` sets, `~a.b` removes, `a.b+=v` appends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from fitx.experiment import reader
from fitx.experiment.problems import ConfigError, Problem, nearest
from fitx.experiment.tree import Node, Path, Place, Source, dotted

_WORD = re.compile(
    r"(?P<remove>~?)(?P<path>[\w./-]+?)(?:(?P<append>\+?)=(?P<value>.*))?", re.DOTALL
)


@dataclass(frozen=True)
class Override:
    """One change: `value` is None where the key is to be removed."""

    path: Path
    value: Node | None
    append: bool
    place: Place


def parse(word: str) -> Override:
    """Read one override. Raises ConfigError for a word that is none."""
    place = Place(Source(f"command line: {word}"))
    match = _WORD.fullmatch(word)
    if match is None or bool(match["remove"]) == (match["value"] is not None):
        text = "is no override; write key.path=value, key.path+=value or ~key.path."
        raise ConfigError([Problem(place, (), text)])
    path = tuple(int(step) if step.isdigit() else step for step in match["path"].split("."))
    value = None if match["remove"] else _value(match["value"], place)
    return Override(path, value, bool(match["append"]), place)


def apply(root: Node, overrides: Sequence[Override]) -> Node:
    """Return the tree with all changes made, in order."""
    for override in overrides:
        root = _changed(root, override.path, override)
    return root


def _value(text: str, place: Place) -> Node:
    node = reader.read(text, Source(place.source.name)) if text.strip() else Node("", place)
    return _placed(node, place)


def _placed(node: Node, place: Place) -> Node:
    """Return a tree whose every place is the word of the command line it came from."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _placed(item, place) for key, item in value.items()}
    elif isinstance(value, list):
        value = [_placed(item, place) for item in value]
    return replace(node, value=value, place=place, keys=dict.fromkeys(node.keys, place))


def _changed(node: Node, path: Path, override: Override) -> Node:
    """Return `node` with the change made at `path` below it."""
    if not path:
        return _written(node, override)
    if isinstance(node.value, list):
        return _changed_list(node, node.value, path, override)
    step, rest = str(path[0]), path[1:]
    values = _as_mapping(node, override)
    if override.value is None and step not in values:
        _refuse(override, f"there is no '{step}' to remove.{nearest(step, values)}")
    if override.value is None and not rest:
        values = {key: item for key, item in values.items() if key != step}
        return replace(node, value=values)
    child = values.get(step, Node(None, override.place))
    keys = {**node.keys, step: override.place if step not in values else node.keys[step]}
    if not rest:
        keys[step] = override.place
    return replace(node, value={**values, step: _changed(child, rest, override)}, keys=keys)


def _changed_list(node: Node, items: list[Node], path: Path, override: Override) -> Node:
    index, rest = path[0], path[1:]
    if not isinstance(index, int) or index >= len(items):
        _refuse(override, f"'{index}' is no place in a list of {len(items)}; they count from 0.")
    changed = list(items)
    if override.value is None and not rest:
        del changed[int(index)]
    else:
        changed[int(index)] = _changed(items[int(index)], rest, override)
    return replace(node, value=changed)


def _as_mapping(node: Node, override: Override) -> dict[str, Node]:
    """Return the values below a node; a part written as a bare name counts as `{name: ...}`."""
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, str):
        return {"name": node}
    if node.value is not None:
        _refuse(override, f"there is nothing below {node.value!r} to set.")
    return {}


def _written(node: Node, override: Override) -> Node:
    if override.value is None or not override.append:
        return override.value or node
    if node.value is None:
        return Node([override.value], override.place)
    if not isinstance(node.value, list):
        _refuse(override, f"{dotted(override.path)} is no list to append to.")
    return replace(node, value=[*node.value, override.value])


def _refuse(override: Override, text: str) -> NoReturn:
    raise ConfigError([Problem(override.place, (), text)])
