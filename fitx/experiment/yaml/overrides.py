"""Overrides of the command line: `a.b=v` sets, `~a.b` removes, `a.b+=v` appends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fitx.experiment.problems import ConfigError, Problem, describe, nearest
from fitx.experiment.yaml import reader
from fitx.experiment.yaml.tree import KeyPath, Node, Place, TextSource, dotted, with_lists

_WORD = re.compile(
    r"(?P<remove>~?)(?P<path>\w[\w-]*(?:\.\w[\w-]*)*)(?:(?P<append>\+?)=(?P<value>.*))?", re.DOTALL
)


@dataclass(frozen=True)
class Override:
    """One change of the tree; `value` is None if the key is to be removed."""

    path: KeyPath
    value: Node | None
    append: bool
    place: Place


class _CannotApply(ValueError):
    """The override cannot be applied to this tree."""


def parse(word: str) -> Override:
    """Parse one override. Raises ConfigError for a word that is not an override."""
    place = Place(TextSource(f"command line: {word}"))
    match = _WORD.fullmatch(word)
    if match is None or bool(match["remove"]) == (match["value"] is not None):
        text = "is not an override; write key.path=value, key.path+=value or ~key.path."
        raise ConfigError([Problem(place, (), text)])
    path = tuple(int(step) if step.isdecimal() else step for step in match["path"].split("."))
    if path[0] == "extends":
        text = "cannot change 'extends', which is read before the command line; edit the file."
        raise ConfigError([Problem(place, (), text)])
    value = None if match["remove"] else _value(match["value"], place)
    levels = len(path) + bool(match["append"]) + (value.depth() if value is not None else 0)
    if levels > reader.MAX_DEPTH:
        text = f"nested deeper than {reader.MAX_DEPTH} levels."
        raise ConfigError([Problem(place, (), text)])
    return Override(path, value, bool(match["append"]), place)


def apply(root: Node, overrides: Sequence[Override]) -> tuple[Node, list[Problem]]:
    """Return the tree with the overrides applied in order, and the problems of the others."""
    problems = []
    for override in overrides:
        try:
            root = with_lists(_changed(root, (), override))
        except _CannotApply as error:
            problems.append(Problem(override.place, (), str(error)))
    return root, problems


def _value(text: str, place: Place) -> Node:
    try:
        source = TextSource(place.source.name, tuple(text.split("\n")))
        return _placed(reader.read(text, source), place)
    except ConfigError as error:
        problems = [Problem(place, problem.path, problem.text) for problem in error.problems]
        raise ConfigError(problems) from error


def _placed(node: Node, place: Place) -> Node:
    """Return a tree in which every place is the word of the command line."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _placed(item, place) for key, item in value.items()}
    elif isinstance(value, list):
        value = [_placed(item, place) for item in value]
    return replace(node, value=value, place=place, keys=dict.fromkeys(node.keys, place))


def _changed(node: Node, path_so_far: KeyPath, override: Override) -> Node:
    """Return the node at path `path_so_far` with the override applied at or below it."""
    rest = override.path[len(path_so_far) :]
    if not rest:
        return _new_value(node, override)
    if isinstance(node.value, list):
        return _changed_list(node, node.value, path_so_far, override)
    values, step = _as_mapping(node, path_so_far), str(rest[0])
    removes = override.value is None
    if removes and step not in values:
        where = f"{dotted(path_so_far)} has" if path_so_far else "there is"
        raise _CannotApply(f"{where} no '{step}' to remove.{nearest(step, values)}")
    # If something is missing because of this word, the problem is located at the word.
    is_new = len(rest) == 1 or step not in values
    keys = {**node.keys, step: override.place if is_new else node.keys.get(step, node.place)}
    if removes and len(rest) == 1:
        return replace(node, value={k: v for k, v in values.items() if k != step}, keys=keys)
    child = values.get(step, Node(None, override.place))
    changed = _changed(child, (*path_so_far, rest[0]), override)
    return replace(node, value={**values, step: changed}, keys=keys)


def _changed_list(node: Node, items: list[Node], path_so_far: KeyPath, override: Override) -> Node:
    index, is_last = override.path[len(path_so_far)], len(path_so_far) + 1 == len(override.path)
    if not isinstance(index, int) or index >= len(items):
        count = f"{len(items)} item{'s' * (len(items) != 1)}"
        raise _CannotApply(
            f"{dotted(path_so_far)} has {count}, counted from 0; there is no item '{index}'."
        )
    changed = list(items)
    if override.value is None and is_last:
        del changed[index]
    else:
        changed[index] = _changed(items[index], (*path_so_far, index), override)
    return replace(node, value=changed)


def _as_mapping(node: Node, path: KeyPath) -> dict[str, Node]:
    """Return the values below a node; a part written as a name is `{name: ...}`."""
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, str):
        return {"name": node}
    if node.value is not None:
        found = describe(node.as_python()) if node.raw is None else node.raw
        raise _CannotApply(f"{dotted(path)} is {found} and cannot have keys.")
    return {}


def _new_value(node: Node, override: Override) -> Node:
    if override.value is None or not override.append:
        return override.value or node
    if node.value is None:
        return Node([override.value], override.place)
    if not isinstance(node.value, list):
        key = dotted(override.path)
        raise _CannotApply(f"{key} is not a list, so nothing can be appended; write {key}=value.")
    return replace(node, value=[*node.value, override.value])
