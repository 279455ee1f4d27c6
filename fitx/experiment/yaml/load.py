"""Loads an experiment file: merges `extends`, applies overrides, fills in `${env:...}`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from fitx import redaction
from fitx.experiment.problems import ConfigError, Problem, describe
from fitx.experiment.yaml import env_interpolation, locate, overrides, reader
from fitx.experiment.yaml.tree import KeyPath, Node, Place, TextSource, with_lists

MAX_FILES = 100

Above: TypeAlias = tuple[Path, ...]
"""The files that extend the current one, outermost first."""


@dataclass(frozen=True)
class Document:
    """An experiment as written, before it is checked.

    Args:
        name: The file as the user named it.
        path: Its absolute path.
        tree: The merged values.
        files: The file and those that it extends.
        problems: Problems of overrides and of `${env:...}`.
    """

    name: str
    path: Path
    tree: Node
    files: tuple[Path, ...]
    problems: tuple[Problem, ...] = ()

    def place(self, path: KeyPath) -> Place:
        """Return the place of the key at `path`, or of the nearest key above it."""
        for length in range(len(path), 0, -1):
            parent = self.tree.at(path[: length - 1])
            if parent is not None and str(path[length - 1]) in parent.keys:
                return parent.keys[str(path[length - 1])]
            node = self.tree.at(path[:length])
            if node is not None:
                return node.place
        return Place(self.tree.place.source)

    def value_place(self, path: KeyPath) -> Place:
        """Return the place of the value at `path`, or of its key if the value is empty."""
        node = self.tree.at(path)
        return self.place(path) if node is None or node.value is None else node.place


def load(
    name: str, words: Sequence[str] = (), *, alone: bool = False, text: str | None = None
) -> Document:
    """Load an experiment file with the files it extends, and apply overrides.

    Args:
        name: A path, or the name of a shipped experiment such as `guide/gan`.
        words: Overrides: `a.b=v`, `a.b+=v`, `~a.b`.
        alone: Refuse `extends`, as for the file of a run, which is complete.
        text: The text to read in place of that of the file.

    Raises:
        ConfigError: The file, or one that it extends, cannot be read.
    """
    files: list[Path] = []
    path = locate.locate(name)
    redaction.publish_folder(os.path.abspath(path.parent))
    name = locate.complete(name)
    opened = locate.read_text(name, path) if text is None else locate.source(name, path, text)
    if alone:
        _refuse_extends(reader.read(*opened))
    tree = _compose(opened, path.resolve(), files, ())
    changes, problems = _parsed(words)
    tree, refused = overrides.apply(tree, changes)
    tree, unfilled = env_interpolation.fill(tree)
    return Document(name, files[0], tree, tuple(files), (*problems, *refused, *unfilled))


def merge(base: Node, over: Node, *, is_part: bool = False) -> Node:
    """Return `base` deeply merged with `over`; a part with another name replaces that of `base`.

    A top-level key that `over` sets to null is removed.
    """
    if not isinstance(over.value, dict):
        return over
    values = {"name": base} if isinstance(base.value, str) else base.value
    if not isinstance(values, dict) or (is_part and _names_another(values, over.value)):
        return over
    merged = dict(values)
    for key, node in over.value.items():
        merged[key] = merge(values[key], node, is_part=True) if key in values else node
        if not is_part and key in values and node.value is None:
            del merged[key]
    return replace(over, value=merged, keys={**base.keys, **over.keys})


def _names_another(base: dict[str, Node], over: dict[str, Node]) -> bool:
    """Return whether a part has another name, or only one of the two is a copy of a network."""
    if "copy_of" in base or "copy_of" in over:
        return base.keys() & {"name", "copy_of"} != over.keys() & {"name", "copy_of"}
    return "name" in base and "name" in over and base["name"].value != over["name"].value


def _parsed(words: Sequence[str]) -> tuple[list[overrides.Override], list[Problem]]:
    changes, problems = [], []
    for word in words:
        try:
            changes.append(overrides.parse(word))
        except ConfigError as error:
            problems.extend(error.problems)
    return changes, problems


def _compose(opened: tuple[str, TextSource], path: Path, files: list[Path], above: Above) -> Node:
    """Read the text of one file, and merge it with the files that it extends."""
    text, source = opened
    files.append(path)
    if len(files) > MAX_FILES:
        text = f"an experiment may extend at most {MAX_FILES} files, counting repeated ones."
        raise ConfigError([Problem(Place(source), (), text)])
    tree = with_lists(reader.read(text, source))
    if not isinstance(tree.value, dict):
        found = "nothing" if tree.value is None else describe(tree.as_python())
        text = f"expected a mapping with keys such as step, model and data, found {found}."
        raise ConfigError([Problem(Place(source), (), text)])
    values = dict(tree.value)
    extends = values.pop("extends", None)
    tree = replace(tree, value=values)
    base: Node | None = None
    for node, at in _names(extends):
        extended = _extended(node, at, files, (*above, path))
        base = extended if base is None else merge(base, extended)
    return tree if base is None else merge(base, tree)


def _refuse_extends(tree: Node) -> None:
    extends = tree.at(("extends",))
    if extends is not None:
        text = "the experiment of a run must be complete, without `extends`."
        raise ConfigError([Problem(extends.place, ("extends",), text)])


def _names(extends: Node | None) -> Iterator[tuple[Node, KeyPath]]:
    """Yield (name, path of its key) for each file to extend, with `${env:...}` filled in."""
    if extends is None:
        return
    filled, problems = env_interpolation.fill(extends)
    if problems:
        raise ConfigError([replace(p, path=("extends", *p.path)) for p in problems])
    items = list(enumerate(filled.value)) if isinstance(filled.value, list) else [(None, filled)]
    for index, node in items:
        at: KeyPath = ("extends",) if index is None else ("extends", index)
        if not isinstance(node.value, str):
            text = f"expected the name of a file, found {describe(node.as_python())}."
            raise ConfigError([Problem(node.place, at, text)])
        yield node, at


def _extended(node: Node, at: KeyPath, files: list[Path], above: Above) -> Node:
    try:
        path = locate.locate(str(node.value), above[-1].parent).resolve()
        _refuse_other_kinds(node, at, path)
        opened = locate.read_text(_shown(path), path)
    except ConfigError as error:
        # A problem within the file has a line there; one of the file itself belongs to this key.
        if error.problems[0].place.line:
            raise
        text = f"{node.raw or node.value}: {error.problems[0].text}"
        raise ConfigError([Problem(node.place, at, text)]) from error
    if path in above:
        chain = " extends ".join(p.name for p in (*above[above.index(path) :], path))
        raise ConfigError([Problem(node.place, at, f"files extend each other: {chain}.")])
    # Messages show the name of the file, and the run keeps a copy.
    redaction.publish([path.name])
    return _compose(opened, path, files, above)


def _refuse_other_kinds(node: Node, at: KeyPath, path: Path) -> None:
    """Refuse files with other suffixes: messages could show lines of any file."""
    if path.is_file() and path.suffix not in (".yaml", ".yml"):
        text = f"{node.raw or node.value}: its name must end in .yaml or .yml."
        raise ConfigError([Problem(node.place, at, text)])


def _shown(path: Path) -> str:
    """Return a path relative to the working directory, if it is within it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
