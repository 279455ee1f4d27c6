"""Changes from the command line: `a.b=v` sets, `~a.b` removes, `a.b+=v` appends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fitx.experiment.checks.lists import with_lists
from fitx.experiment.problems import ConfigError, Problem, describe, nearest
from fitx.experiment.yaml import reader
from fitx.experiment.yaml.tree import KeyPath, Node, Place, TextSource, dotted

_WORD = re.compile(
    r"(?P<remove>~?)(?P<path>\w[\w-]*(?:\.\w[\w-]*)*)(?:(?P<append>\+?)=(?P<value>.*))?", re.DOTALL
)


@dataclass(frozen=True)
class Override:
    """One change: `value` is None where the key is to be removed."""

    path: KeyPath
    value: Node | None
    append: bool
    place: Place


class Refused(ValueError):
    """An override that cannot be made on this tree; the text says why."""


def parse(word: str) -> Override:
    """Read one override. Raises ConfigError for a word that is none."""
    place = Place(TextSource(f"command line: {word}"))
    match = _WORD.fullmatch(word)
    if match is None or bool(match["remove"]) == (match["value"] is not None):
        text = "is no override; write key.path=value, key.path+=value or ~key.path."
        raise ConfigError([Problem(place, (), text)])
    path = tuple(int(step) if step.isdecimal() else step for step in match["path"].split("."))
    if path[0] == "extends":
        text = "'extends' is read before the command line; write it in the file."
        raise ConfigError([Problem(place, (), text)])
    value = None if match["remove"] else _value(match["value"], place)
    levels = len(path) + bool(match["append"]) + (value.depth() if value is not None else 0)
    if levels > reader.MAX_DEPTH:
        text = f"nested deeper than {reader.MAX_DEPTH} levels."
        raise ConfigError([Problem(place, (), text)])
    return Override(path, value, bool(match["append"]), place)


def apply(root: Node, overrides: Sequence[Override]) -> tuple[Node, list[Problem]]:
    """Return the tree with the changes made, in order, and those that cannot be made."""
    problems = []
    for override in overrides:
        try:
            root = with_lists(_changed(root, (), override))
        except Refused as error:
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
    """Return a tree whose every place is the word of the command line it came from."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _placed(item, place) for key, item in value.items()}
    elif isinstance(value, list):
        value = [_placed(item, place) for item in value]
    return replace(node, value=value, place=place, keys=dict.fromkeys(node.keys, place))


def _changed(node: Node, done: KeyPath, override: Override) -> Node:
    """Return the node that stands at `done` with the change made at or below it."""
    rest = override.path[len(done) :]
    if not rest:
        return _written(node, override)
    if isinstance(node.value, list):
        return _changed_list(node, node.value, done, override)
    values, step = _as_mapping(node, done), str(rest[0])
    removes = override.value is None
    if removes and step not in values:
        where = f"{dotted(done)} has" if done else "there is"
        raise Refused(f"{where} no '{step}' to remove.{nearest(step, values)}")
    # What is missing because of this word is a problem of this word.
    is_new = len(rest) == 1 or step not in values
    keys = {**node.keys, step: override.place if is_new else node.keys.get(step, node.place)}
    if removes and len(rest) == 1:
        return replace(node, value={k: v for k, v in values.items() if k != step}, keys=keys)
    child = values.get(step, Node(None, override.place))
    changed = _changed(child, (*done, rest[0]), override)
    return replace(node, value={**values, step: changed}, keys=keys)


def _changed_list(node: Node, items: list[Node], done: KeyPath, override: Override) -> Node:
    index, is_last = override.path[len(done)], len(done) + 1 == len(override.path)
    if not isinstance(index, int) or index >= len(items):
        count = f"{len(items)} item{'s' * (len(items) != 1)}"
        raise Refused(f"{dotted(done)} holds {count}, counted from 0; there is no '{index}'.")
    changed = list(items)
    if override.value is None and is_last:
        del changed[index]
    else:
        changed[index] = _changed(items[index], (*done, index), override)
    return replace(node, value=changed)


def _as_mapping(node: Node, path: KeyPath) -> dict[str, Node]:
    """Return the values below a node; a part written as a bare name counts as `{name: ...}`."""
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, str):
        return {"name": node}
    if node.value is not None:
        found = describe(node.as_python()) if node.raw is None else node.raw
        raise Refused(f"{dotted(path)} is {found}; nothing can stand below it.")
    return {}


def _written(node: Node, override: Override) -> Node:
    if override.value is None or not override.append:
        return override.value or node
    if node.value is None:
        return Node([override.value], override.place)
    if not isinstance(node.value, list):
        key = dotted(override.path)
        raise Refused(f"{key} is no list to append to; write {key}=value.")
    return replace(node, value=[*node.value, override.value])
