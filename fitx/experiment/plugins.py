"""Plugin files of an experiment: read as text for the checks, and imported after them."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.experiment.problems import ConfigError, Problem, nearest
from fitx.experiment.yaml.load import Document
from fitx.registry import keras_parts
from fitx.registry.part_index import PartIndex
from fitx.registry.registries import REGISTRIES
from fitx.stages import Stage

PACKAGE = "fitx_plugins"
"""The package under whose name plugins are imported; their folder is not added to `sys.path`."""

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
    for index, entry in enumerate(entries):
        if not isinstance(entry.value, str):
            continue
        path = entry.place.source.file(entry.value)
        try:
            _read_one(path, part_index)
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
    except _Unreadable as error:
        raise UsageError("\n".join(filter(None, [f"{name}: {error}", error.detail]))) from error
    return Path(name).resolve()


def load(experiment: Experiment) -> None:
    """Import every plugin. Raises ConfigError with the error of the plugin and its traceback."""
    for index, path in enumerate(experiment.plugins):
        module = f"{PACKAGE}.{path.stem}"
        _forget(module)
        try:
            with Stage(f"importing {path.name}"):
                _import(module, path)
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            raise _not_imported(experiment, index, error) from error
        for kind in experiment.part_index.plugins[path]:
            if not REGISTRIES[kind].has_part_of(module):
                text = f"{path.name} did not register its {kind} when it was imported; "
                raise _problem(experiment, index, f"{text}define it outside of any `if`.")


def own_part(experiment: Experiment, kind: str, name: str) -> Any:
    """Return the class or function of a plugin that is named by its own name; None for others."""
    path = experiment.part_index.plugin_of(kind, name)
    if path is None:
        return None
    module = sys.modules[f"{PACKAGE}.{path.stem}"]
    if not hasattr(module, name):
        index = experiment.plugins.index(path)
        text = f"{path.name} did not define '{name}' when it was imported; "
        raise _problem(experiment, index, f"{text}define it outside of any `if`.")
    return getattr(module, name)


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


def _not_imported(experiment: Experiment, index: int, error: BaseException) -> ConfigError:
    path = experiment.plugins[index]
    first, *more = str(error).splitlines() or [""]
    reason = f"{type(error).__name__}: {first}" if first else type(error).__name__
    detail = "\n".join(filter(None, [frames(error, path), *(f"  {line}" for line in more)]))
    return _problem(
        experiment,
        index,
        f"importing {path.name} failed: {reason}{_neighbour_hint(error, path)}",
        detail,
    )


def _neighbour_hint(error: BaseException, path: Path) -> str:
    """Return a hint for a plugin that imports a module from its own folder."""
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if not name or not path.with_name(f"{name.partition('.')[0]}.py").is_file():
        return ""
    return ". The folder of a plugin is not on Python's path; put both in one file, or install it."


def _problem(experiment: Experiment, index: int, text: str, detail: str = "") -> ConfigError:
    path = ("plugins", index)
    return ConfigError([Problem(experiment.document.place(path), path, text, detail)])


class _Unreadable(ValueError):
    """A plugin cannot be used; `detail` shows the line with the error."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


def _read_one(path: Path, part_index: PartIndex) -> None:
    """Add the parts of one plugin to the part index. Raises _Unreadable."""
    _refuse_file(path)
    path = path.resolve()
    if path in part_index.plugins:
        raise _Unreadable("is listed twice; remove one.")
    if any(other.stem == path.stem for other in part_index.plugins):
        raise _Unreadable(f"another plugin is also called {path.name}; rename one.")
    parts = _add_parts(path, part_index)
    if not parts and not part_index.own_names(path):
        raise _Unreadable("defines no class and no function that an experiment could name.")
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


class _PluginLoader(SourceFileLoader):
    """Compiles the current text of a plugin, and writes no bytecode file."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def _import(name: str, path: Path) -> None:
    loader = _PluginLoader(name, str(path))
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)


def _forget(module: str) -> None:
    for registry in REGISTRIES.values():
        registry.forget(module)
