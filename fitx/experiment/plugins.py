"""Plugin files of an experiment: read as text first, imported once everything else is right."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path

from fitx.experiment.experiment import Experiment
from fitx.experiment.load import Document
from fitx.experiment.problems import ConfigError, Problem, nearest
from fitx.registry import kinds
from fitx.registry.catalogue import Catalogue
from fitx.registry.shelf import SHELVES

PACKAGE = "fitx_plugins"
"""Plugins are imported under this name; their folder never joins `sys.path`."""


def read(document: Document, catalogue: Catalogue) -> list[Problem]:
    """Read what every plugin registers into the catalogue; return what is wrong with them."""
    node = document.tree.at(("plugins",))
    entries = node.value if node is not None and isinstance(node.value, list) else []
    problems = []
    for index, entry in enumerate(entries):
        if isinstance(entry.value, str):
            path = entry.place.source.folder / entry.value
            text = _read_one(path, catalogue)
            if text:
                problems.append(Problem(entry.place, ("plugins", index), f"{entry.value}: {text}"))
    return problems


def load(experiment: Experiment) -> None:
    """Import every plugin. Raises ConfigError with the user's own error and frames."""
    for index, path in enumerate(experiment.plugins):
        module = f"{PACKAGE}.{path.stem}"
        _forget(module)
        try:
            _import(module, path)
        except Exception as error:
            place = experiment.document.place(("plugins", index))
            text = f"{path.name} does not import: {type(error).__name__}: {error}"
            detail = frames(error, path)
            raise ConfigError([Problem(place, ("plugins", index), text, detail)]) from error


def sha256(path: Path) -> str:
    """Return the hash of a plugin's text, by which a run folder knows it again."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frames(error: BaseException, *files: Path) -> str:
    """Return the frames of an error from the first one in the user's files on, no others before."""
    summary = traceback.extract_tb(error.__traceback__)
    own = {str(file) for file in files}
    mine = [frame for frame in summary if frame.filename in own]
    if isinstance(error, SyntaxError):
        return "".join(traceback.format_exception_only(error)).rstrip()
    return "".join(traceback.format_list(mine)).rstrip()


def _read_one(path: Path, catalogue: Catalogue) -> str:
    """Read one plugin; return what is wrong with it, or nothing."""
    if not path.is_file():
        beside = [f.name for f in path.parent.glob("*.py")] if path.parent.is_dir() else []
        return f"there is no such file.{nearest(path.name, beside)}"
    if not path.stem.isidentifier():
        return "the file's name is the part's name; use letters, digits and '_' only."
    taken = [k for k in kinds.OURS if catalogue.is_shipped(k, path.stem)]
    try:
        parts = catalogue.add_plugin(path.resolve())
    except SyntaxError as error:
        return f"is not Python: {error.msg} (line {error.lineno})."
    except (ValueError, OSError) as error:
        return f"{error}."
    if not parts:
        return "registers nothing; put @steps.register (or models, datasets, callbacks) on a part."
    clash = [kind for kind in taken if kind in parts]
    same = [p for p in catalogue.plugins if p.stem == path.stem and p != path.resolve()]
    if clash:
        return f"fitx has a {clash[0]} '{path.stem}' already; rename the file."
    return f"{same[0].name} registers that name already; rename one." if same else ""


def _import(name: str, path: Path) -> None:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def _forget(module: str) -> None:
    for shelf in SHELVES.values():
        shelf.forget(module)
