"""Plugin files of an experiment, read as text for the checks."""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from fitx.errors import UsageError
from fitx.experiment.problems import Problem, nearest
from fitx.experiment.yaml.load import Document
from fitx.registry import keras_parts, python_source
from fitx.registry.part_index import PartIndex

MOST = 100
"""Plugins that one experiment may have."""


def read(document: Document, part_index: PartIndex) -> list[Problem]:
    """Add the parts of every plugin to the part index; return the problems of plugins."""
    node = document.tree.at(("plugins",))
    entries = node.value if node is not None and isinstance(node.value, list) else []
    if node is not None and len(entries) > MOST:
        text = f"expected at most {MOST} files, found {len(entries):,}."
        return [Problem(node.place, ("plugins",), text)]
    problems = []
    names = {index: entry.value for index, entry in enumerate(entries)}
    written = {index: name for index, name in names.items() if isinstance(name, str)}
    # The plugins themselves first: one of them may import another.
    reading = (_read_one, _read_neighbours, _refuse_useless)
    for read_one, (index, name) in product(reading, written.items()):
        entry = entries[index]
        path = entry.place.source.file(name)
        try:
            read_one(path, part_index)
        except _Unreadable as error:
            part_index.unreadable_names.add(path.stem)
            part_index.drop_plugin(path.resolve())
            text = f"{entry.raw or entry.value or repr('')}: {error}"
            problems.append(Problem(entry.place, ("plugins", index), text, error.detail))
    return problems


def add(name: str, part_index: PartIndex) -> Path:
    """Add the parts of one plugin to the part index; return its path.

    Raises:
        UsageError: The plugin cannot be read, or registers nothing.
    """
    try:
        _read_one(Path(name), part_index)
        _refuse_useless(Path(name), part_index)
    except _Unreadable as error:
        raise UsageError("\n".join(filter(None, [f"{name}: {error}", error.detail]))) from error
    return Path(name).resolve()


def sha256(path: Path) -> str:
    """Return the hash of a plugin, which a run records to recognize changes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frames(error: BaseException, *files: Path) -> str:
    """Return the frames of a traceback that are in the given files."""
    summary = traceback.extract_tb(error.__traceback__)
    names = {str(file) for file in files}
    return "\n".join(_frame(frame) for frame in summary if frame.filename in names)


def _frame(frame: traceback.FrameSummary) -> str:
    return frame_text(frame.filename, frame.lineno, f", in {frame.name}", frame.line)


def frame_text(file: str, number: int | None, where: str, line: str | None) -> str:
    """Return a line of a file as in a traceback, its path relative to the working directory."""
    return f'  File "{relative_name(Path(file))}", line {number}{where}\n    {line}'


def relative_name(path: Path) -> str:
    """Return a path relative to the working directory if it lies there."""
    shown = os.path.relpath(path)
    return str(path) if shown.startswith("..") else shown


class _Unreadable(ValueError):
    """A plugin cannot be used; `detail` shows the line with the error."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


def _read_neighbours(path: Path, part_index: PartIndex) -> None:
    """Add the modules of its folder that a plugin imports, as plugins too. Raises _Unreadable."""
    if path.resolve() not in part_index.plugins:
        # It could not be read itself.
        return
    for neighbour in python_source.imported_neighbours(path.resolve()):
        if neighbour in part_index.plugins:
            continue
        try:
            _read_one(neighbour, part_index)
        except _Unreadable as error:
            raise _Unreadable(f"imports {neighbour.name}, which {error}", error.detail) from error
        _read_neighbours(neighbour, part_index)


def _refuse_useless(path: Path, part_index: PartIndex) -> None:
    """Raise _Unreadable for a plugin without parts that no other plugin imports."""
    path = path.resolve()
    if path not in part_index.plugins or part_index.plugins[path] or part_index.own_names(path):
        return
    if not any(path in python_source.imported_neighbours(other) for other in part_index.plugins):
        raise _Unreadable("defines no class and no function that an experiment could name.")


def _read_one(path: Path, part_index: PartIndex) -> None:
    """Add the parts of one plugin to the part index. Raises _Unreadable."""
    _refuse_file(path)
    path = path.resolve()
    if path in part_index.plugins:
        raise _Unreadable("is listed twice; remove one.")
    if any(other.stem == path.stem for other in part_index.plugins):
        raise _Unreadable(f"another plugin is also called {path.name}; rename one.")
    parts = _add_parts(path, part_index)
    for kind in parts:
        if part_index.is_shipped(kind, path.stem) or keras_parts.class_name(kind, path.stem):
            raise _Unreadable(f"a {kind} '{path.stem}' exists already; rename the file.")


def _add_parts(path: Path, part_index: PartIndex) -> Iterable[str]:
    try:
        parts = part_index.add_plugin(path)
        # Only this reports some mistakes, such as a `return` outside of a function.
        compile(path.read_bytes(), str(path), "exec")
        return parts
    except SyntaxError as error:
        raise _Unreadable(f"is not Python: {error.msg}.", _line(path, error)) from error
    except UnicodeDecodeError as error:
        raise _Unreadable("is not UTF-8; save it as UTF-8.") from error
    except (RecursionError, MemoryError) as error:
        raise _Unreadable("is nested too deeply.") from error
    except ValueError as error:
        raise _Unreadable(f"{error}.") from error
    except OSError as error:
        raise _Unreadable(f"cannot be read: {error.strerror}.") from error


def _line(path: Path, error: SyntaxError) -> str:
    line = (error.text or "").strip()
    return frame_text(str(path), error.lineno, "", line)


def _refuse_file(path: Path) -> None:
    if path.is_dir():
        raise _Unreadable("is a folder; name its Python files one by one.")
    if not path.exists():
        siblings = [f.name for f in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise _Unreadable(f"there is no such file.{nearest(path.name, siblings)}")
    if path.suffix != ".py" or not path.is_file():
        raise _Unreadable("is not a Python file; its name must end in .py.")
    if not path.stem.isidentifier():
        text = "the name of the file is the name of the part; use letters, digits and '_' only."
        raise _Unreadable(text)
