"""The values of an experiment file as a tree, each with its place in the file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from fitx.registry.kinds import is_part

Scalar: TypeAlias = str | int | float | bool | None
KeyPath: TypeAlias = tuple[str | int, ...]

ONE_OR_MORE: tuple[KeyPath, ...] = (
    ("plugins",),
    ("metrics",),
    ("weighted_metrics",),
    ("callbacks",),
    ("fit", "allow_nan"),
)
"""Keys of lists of names or parts, of which a single item may be written without a list."""


@dataclass(frozen=True, slots=True)
class TextSource:
    """A file, or a word of the command line, and its lines.

    Args:
        name: The path as the user typed it.
        lines: The lines, for excerpts in messages.
        folder: The folder to which paths in the text are relative.
    """

    name: str
    lines: tuple[str, ...] = ()
    folder: Path = Path()

    def file(self, text: str) -> Path:
        """Return the absolute path for a path written in this source; `~` is the home folder."""
        return self.folder.resolve() / os.path.expanduser(text)


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a source; line and column count from 1, and line 0 is the whole source."""

    source: TextSource
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}" if self.line else self.source.name


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file.

    Args:
        value: A scalar, or nodes in a mapping or a list.
        place: The place of the value.
        keys: The places of the keys of a mapping.
        raw: The text before `${env:...}` was filled in; None if there was no reference.
        is_unquoted: The scalar was written without quotes.
        text: The text of the scalar, from which `value` was read.
    """

    value: Scalar | dict[str, Node] | list[Node]
    place: Place
    keys: Mapping[str, Place] = field(default_factory=dict)
    raw: str | None = None
    is_unquoted: bool = False
    text: str | None = None

    def at(self, path: KeyPath) -> Node | None:
        """Return the node at a path below this one, or None."""
        node: Node | None = self
        for step in path:
            node = node._child(step) if node is not None else None
        return node

    def with_node(self, path: KeyPath, node: Node) -> Node:
        """Return this tree with another node at an existing path."""
        if not path:
            return node
        step, rest = path[0], path[1:]
        if isinstance(self.value, list):
            items = [n.with_node(rest, node) if i == step else n for i, n in enumerate(self.value)]
            return replace(self, value=items)
        values = self.value if isinstance(self.value, dict) else {}
        changed = {k: n.with_node(rest, node) if k == step else n for k, n in values.items()}
        return replace(self, value=changed)

    def _child(self, step: str | int) -> Node | None:
        if isinstance(self.value, dict):
            return self.value.get(str(step))
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def as_python(self) -> Any:
        """Return the value as Python objects; all keys are strings."""
        if isinstance(self.value, dict):
            return {key: node.as_python() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.as_python() for node in self.value]
        return self.value

    def depth(self) -> int:
        """Return the number of levels of lists and mappings below this node; 0 for a scalar."""
        return max(len(path) for path, _ in self.walk())

    def walk(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
        """Yield (path, node) for this node and all nodes below it."""
        yield path, self
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield from node.walk((*path, key))
        elif isinstance(self.value, list):
            for index, node in enumerate(self.value):
                yield from node.walk((*path, index))


def dotted(path: KeyPath) -> str:
    """Return a path as users type it, such as `callbacks.0.patience`; unusual keys are quoted."""
    return ".".join(map(_step, path))


def _step(step: str | int) -> str:
    text = str(step)
    is_simple = text.isprintable() and 0 < len(text) <= 60
    return text if is_simple else repr(text if len(text) <= 60 else f"{text[:57]}...")


def with_lists(tree: Node) -> Node:
    """Return a tree in which a single item of the keys in `ONE_OR_MORE` is in a list."""
    for path in ONE_OR_MORE:
        tree = _with_list(tree, path)
    return tree


def _with_list(node: Node, path: KeyPath) -> Node:
    if not path:
        is_item = node.value != "" and is_part(node.value)
        return Node([node], node.place) if is_item else node
    key = str(path[0])
    if not isinstance(node.value, dict) or key not in node.value:
        return node
    child = _with_list(node.value[key], path[1:])
    return replace(node, value={**node.value, key: child})
