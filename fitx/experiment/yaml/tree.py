"""The values of an experiment file, each with the place where it was written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
KeyPath: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class TextSource:
    """Where text came from: a file as the user named it, or a word of the command line.

    Relative paths in the text start from `folder`.
    """

    name: str
    lines: tuple[str, ...] = ()
    folder: Path = Path()

    def file(self, text: str) -> Path:
        """Return the absolute path that text of this source names; `~` is the home folder."""
        return self.folder.resolve() / os.path.expanduser(text)


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a source; line and column count from 1, line 0 is the source as a whole."""

    source: TextSource
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}" if self.line else self.source.name


@dataclass(frozen=True, slots=True)
class Node:
    """One value.

    Args:
        raw: Its text before `${env:...}` was filled in; None where nothing was.
        written: The text of a scalar, from which `value` was read; None where there is none.
    """

    value: Scalar | dict[str, Node] | list[Node]
    place: Place
    keys: Mapping[str, Place] = field(default_factory=dict)
    raw: str | None = None
    is_unquoted: bool = False
    written: str | None = None

    def at(self, path: KeyPath) -> Node | None:
        """Return the node at a path below this one, None where there is nothing."""
        node: Node | None = self
        for step in path:
            node = node._child(step) if node is not None else None
        return node

    def with_node(self, path: KeyPath, node: Node) -> Node:
        """Return this tree with another node at a path that is there."""
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
        """Return the value as Python holds it; keys are strings."""
        if isinstance(self.value, dict):
            return {key: node.as_python() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.as_python() for node in self.value]
        return self.value

    def depth(self) -> int:
        """Return how many levels of lists and mappings lie below this node; 0 for a scalar."""
        return max(len(path) for path, _ in self.walk())

    def walk(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
        """Yield (path, node) of this node and everything below it."""
        yield path, self
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield from node.walk((*path, key))
        elif isinstance(self.value, list):
            for index, node in enumerate(self.value):
                yield from node.walk((*path, index))


def dotted(path: KeyPath) -> str:
    """Return a path as it is typed: `callbacks.0.patience`; odd keys are shown in quotes."""
    return ".".join(map(_step, path))


def _step(step: str | int) -> str:
    text = str(step)
    is_simple = text.isprintable() and 0 < len(text) <= 60
    return text if is_simple else repr(text if len(text) <= 60 else f"{text[:57]}...")
