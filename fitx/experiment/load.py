"""File name and overrides to one document: `extends` merged, `${env:...}` filled in."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fitx.experiment import locate, overrides, reader
from fitx.experiment.problems import ConfigError, Problem, describe
from fitx.experiment.tree import Node, Place
from fitx.experiment.tree import Path as KeyPath

_REFERENCE = re.compile(r"\$\{(?:env:(?P<name>[A-Za-z_]\w*)(?::(?P<default>[^}]*))?)?")


@dataclass(frozen=True)
class Document:
    """One experiment as written: its file, the files it extends, and the merged tree."""

    name: str
    path: Path
    tree: Node
    files: tuple[Path, ...]

    def place(self, path: KeyPath) -> Place:
        """Return where the key at `path` is written, or else the nearest key above it."""
        for length in range(len(path), 0, -1):
            parent = self.tree.at(path[: length - 1])
            if parent is not None and str(path[length - 1]) in parent.keys:
                return parent.keys[str(path[length - 1])]
            node = self.tree.at(path[:length])
            if node is not None:
                return node.place
        return Place(self.tree.place.source)


def load(name: str, words: Sequence[str] = ()) -> Document:
    """Read an experiment file with all it extends and change it by the words of a command line.

    Args:
        name: A path, or the name of a shipped experiment such as `guide/gan`.
        words: Overrides: `a.b=v`, `a.b+=v`, `~a.b`.

    Raises:
        ConfigError: The file, one that it extends, or a word cannot be read.
    """
    changes, problems = [], []
    for word in words:
        try:
            changes.append(overrides.parse(word))
        except ConfigError as error:
            problems.extend(error.problems)
    files: list[Path] = []
    tree = _read(name, locate.locate(name), files, ())
    if problems:
        raise ConfigError(problems)
    return Document(name, files[0], _fill(overrides.apply(tree, changes)), tuple(files))


def merge(base: Node, over: Node, *, is_part: bool = False) -> Node:
    """Return `base` changed by `over`, mapping by mapping; a part of another name starts anew."""
    if not isinstance(over.value, dict):
        return over
    values = {"name": base} if isinstance(base.value, str) else base.value
    if not isinstance(values, dict) or (is_part and _names_another(values, over.value)):
        return over
    merged = dict(values)
    for key, node in over.value.items():
        merged[key] = merge(values[key], node, is_part=True) if key in values else node
    return replace(over, value=merged, keys={**base.keys, **over.keys})


def _names_another(base: dict[str, Node], over: dict[str, Node]) -> bool:
    return "name" in base and "name" in over and base["name"].value != over["name"].value


def _read(name: str, path: Path, files: list[Path], above: tuple[Path, ...]) -> Node:
    """Read one file and merge it over those that it extends."""
    resolved = path.resolve()
    files.append(resolved)
    text, source = locate.read_text(name if not above else _shown(resolved), path)
    tree = reader.read(text, source)
    if not isinstance(tree.value, dict):
        found = "is empty" if tree.value is None else f"holds {describe(tree.plain())}"
        text = f"{found}; an experiment is a mapping of keys such as step, model and data."
        raise ConfigError([Problem(Place(source), (), text)])
    values = dict(tree.value)
    extends = values.pop("extends", None)
    tree = replace(tree, value=values)
    base: Node | None = None
    for node in _names(extends):
        read = _extended(node, resolved, files, (*above, resolved))
        base = read if base is None else merge(base, read)
    return tree if base is None else merge(base, tree)


def _names(extends: Node | None) -> Iterator[Node]:
    if extends is None:
        return
    for node in extends.value if isinstance(extends.value, list) else [extends]:
        if not isinstance(node.value, str):
            text = f"expected the name of a file, found {describe(node.plain())}."
            raise ConfigError([Problem(node.place, ("extends",), text)])
        yield node


def _extended(node: Node, child: Path, files: list[Path], above: tuple[Path, ...]) -> Node:
    try:
        path = locate.locate(str(node.value), child.parent)
    except ConfigError as error:
        text = f"{node.value}: {error.problems[0].text}"
        raise ConfigError([Problem(node.place, ("extends",), text)]) from error
    if path.resolve() in above:
        chain = " extends ".join(p.name for p in (*above[above.index(path.resolve()) :], path))
        raise ConfigError([Problem(node.place, ("extends",), f"goes in a circle: {chain}.")])
    return _read(str(node.value), path, files, above)


def _shown(path: Path) -> str:
    """Return a path as a user reads it: from the working directory where that is shorter."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def _fill(root: Node) -> Node:
    """Return the tree with `${env:NAME}` and `${env:NAME:default}` filled in."""
    problems: list[Problem] = []
    filled = _filled(root, (), problems)
    if problems:
        raise ConfigError(problems)
    return filled


def _filled(node: Node, path: KeyPath, problems: list[Problem]) -> Node:
    value = node.value
    if isinstance(value, dict):
        return replace(node, value={k: _filled(n, (*path, k), problems) for k, n in value.items()})
    if isinstance(value, list):
        return replace(node, value=[_filled(n, (*path, i), problems) for i, n in enumerate(value)])
    if not isinstance(value, str) or "${" not in value:
        return node
    return _filled_string(node, value, path, problems)


def _filled_string(node: Node, text: str, path: KeyPath, problems: list[Problem]) -> Node:
    parts, end = [], 0
    for match in _REFERENCE.finditer(text):
        closed = match["name"] is not None and text[match.end() : match.end() + 1] == "}"
        name = match["name"]
        if not closed:
            problem = "only ${env:NAME} and ${env:NAME:default} are filled in."
            problems.append(Problem(node.place, path, f"{describe(text)}: {problem}"))
            return node
        replacement = os.environ.get(name, match["default"])
        if replacement is None:
            problem = f"the environment variable {name} is not set; set it, or write a default: "
            problems.append(Problem(node.place, path, problem + f"${{env:{name}:default}}."))
            return node
        parts += [text[end : match.start()], replacement]
        end = match.end() + 1
    whole = len(parts) == 2 and not parts[0] and end == len(text)
    result = "".join(parts) + text[end:]
    value = reader.scalar(result, node.place) if whole and node.is_plain else result
    return replace(node, value=value, raw=text)
