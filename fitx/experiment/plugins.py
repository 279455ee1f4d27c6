"""Plugin files of an experiment: read as text first, imported once everything else is right."""

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

from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.experiment.problems import ConfigError, Problem, nearest
from fitx.experiment.yaml.load import Document
from fitx.registry import keras_parts
from fitx.registry.part_index import PartIndex
from fitx.registry.registries import REGISTRIES
from fitx.stages import Stage

PACKAGE = "fitx_plugins"
"""Plugins are imported under this name; their folder never joins `sys.path`."""

MOST = 100
"""Plugins of one experiment."""


def read(document: Document, part_index: PartIndex) -> list[Problem]:
    """Read what every plugin registers into the part index; return what is wrong with them."""
    node = document.tree.at(("plugins",))
    entries = node.value if node is not None and isinstance(node.value, list) else []
    if node is not None and len(entries) > MOST:
        text = f"names {len(entries):,} files; an experiment has at most {MOST}."
        return [Problem(node.place, ("plugins",), text)]
    problems = []
    for index, entry in enumerate(entries):
        if not isinstance(entry.value, str):
            continue
        path = entry.place.source.file(entry.value)
        try:
            _read_one(path, part_index)
        except _Unreadable as error:
            part_index.unread.add(path.stem)
            part_index.drop_plugin(path.resolve())
            text = f"{entry.raw or entry.value or repr('')}: {error}"
            problems.append(Problem(entry.place, ("plugins", index), text, error.detail))
    return problems


def add(name: str, part_index: PartIndex) -> Path:
    """Read what one plugin registers into the part index; return its path.

    Raises:
        UsageError: It cannot be read, or registers nothing.
    """
    try:
        _read_one(Path(name), part_index)
    except _Unreadable as error:
        raise UsageError("\n".join(filter(None, [f"{name}: {error}", error.detail]))) from error
    return Path(name).resolve()


def load(experiment: Experiment) -> None:
    """Import every plugin. Raises ConfigError with the user's own error and frames."""
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
                text = f"{path.name} was imported without registering its {kind}; "
                raise _problem(experiment, index, f"{text}let it stand by itself, under no `if`.")


def sha256(path: Path) -> str:
    """Return the hash of a plugin's text, by which a run folder knows it again."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frames(error: BaseException, *files: Path) -> str:
    """Return the frames of an error that are in the user's files, and none of the others."""
    summary = traceback.extract_tb(error.__traceback__)
    own = {str(file) for file in files}
    return "\n".join(_frame(frame) for frame in summary if frame.filename in own)


def _frame(frame: traceback.FrameSummary) -> str:
    return frame_text(frame.filename, frame.lineno, f", in {frame.name}", frame.line)


def frame_text(file: str, number: int | None, where: str, line: str | None) -> str:
    """Return a line of a file as a traceback shows it, the file as seen from where we are."""
    shown = os.path.relpath(file)
    name = file if shown.startswith("..") else shown
    return f'  File "{name}", line {number}{where}\n    {line}'


def _not_imported(experiment: Experiment, index: int, error: BaseException) -> ConfigError:
    path = experiment.plugins[index]
    first, *more = str(error).splitlines() or [""]
    said = f"{type(error).__name__}: {first}" if first else type(error).__name__
    detail = "\n".join(filter(None, [frames(error, path), *(f"  {line}" for line in more)]))
    return _problem(
        experiment, index, f"{path.name} does not import: {said}{_neighbour(error, path)}", detail
    )


def _neighbour(error: BaseException, path: Path) -> str:
    """Explain that a plugin finds no module that lies beside it."""
    name = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if not name or not path.with_name(f"{name.partition('.')[0]}.py").is_file():
        return ""
    return (
        ". The folder of a plugin is not on Python's path: put both into one file, or install it."
    )


def _problem(experiment: Experiment, index: int, text: str, detail: str = "") -> ConfigError:
    at = ("plugins", index)
    return ConfigError([Problem(experiment.document.place(at), at, text, detail)])


class _Unreadable(ValueError):
    """A plugin file that cannot be used; `detail` shows the line where it is wrong."""

    def __init__(self, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail


def _read_one(path: Path, part_index: PartIndex) -> None:
    """Read what one plugin registers. Raises _Unreadable."""
    _refuse_file(path)
    path = path.resolve()
    if path in part_index.plugins:
        raise _Unreadable("stands twice; remove one.")
    if any(known.stem == path.stem for known in part_index.plugins):
        raise _Unreadable(f"another plugin is called {path.name} too; rename one.")
    parts = _parts(path, part_index)
    if not parts:
        text = "registers nothing; put @steps.register (or models, datasets, callbacks) on a part."
        raise _Unreadable(text)
    for kind in parts:
        if part_index.is_shipped(kind, path.stem) or keras_parts.class_name(kind, path.stem):
            raise _Unreadable(f"there is a {kind} '{path.stem}' already; rename the file.")


def _parts(path: Path, part_index: PartIndex) -> Iterable[str]:
    try:
        parts = part_index.add_plugin(path)
        # Some mistakes, such as a `return` outside of a function, show only here.
        compile(path.read_bytes(), str(path), "exec")
        return parts
    except SyntaxError as error:
        raise _Unreadable(f"is not Python: {error.msg}.", _line(path, error)) from error
    except UnicodeDecodeError as error:
        raise _Unreadable("is not UTF-8; save it as UTF-8.") from error
    except (RecursionError, MemoryError) as error:
        raise _Unreadable("is nested too deeply to be read.") from error
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
        beside = [f.name for f in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise _Unreadable(f"there is no such file.{nearest(path.name, beside)}")
    if path.suffix != ".py" or not path.is_file():
        raise _Unreadable("is no Python file; its name must end in .py.")
    if not path.stem.isidentifier():
        text = "the file's name is the part's name; use letters, digits and '_' only."
        raise _Unreadable(text)


class _Loader(SourceFileLoader):
    """Compiles what stands in the file now, and leaves no file beside it."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def _import(name: str, path: Path) -> None:
    loader = _Loader(name, str(path))
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)


def _forget(module: str) -> None:
    for registry in REGISTRIES.values():
        registry.forget(module)
