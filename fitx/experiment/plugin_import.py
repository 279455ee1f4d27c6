"""Imports the plugins of an experiment, after all checks, in the order of their own imports."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from fitx.experiment.experiment import Experiment
from fitx.experiment.plugins import frames
from fitx.experiment.problems import ConfigError, Problem
from fitx.registry import python_source
from fitx.registry.registries import REGISTRIES
from fitx.stages import Stage

PACKAGE = "fitx_plugins"
"""The package under whose name plugins are imported; their folder is not added to `sys.path`."""


def load(experiment: Experiment) -> None:
    """Import every plugin. Raises ConfigError with the error of the plugin and its traceback."""
    for path in experiment.plugins:
        _forget(path.stem)
    neighbours = map(python_source.imported_neighbours, experiment.plugins)
    imported = {path for paths in neighbours for path in paths}
    for path in _in_order_of_imports(experiment.plugins):
        module, index = f"{PACKAGE}.{path.stem}", experiment.plugins.index(path)
        try:
            with Stage(f"importing {path.name}"):
                _import(module, path, is_imported=path in imported)
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


def _not_imported(experiment: Experiment, index: int, error: BaseException) -> ConfigError:
    path = experiment.plugins[index]
    first, *more = str(error).splitlines() or [""]
    reason = f"{type(error).__name__}: {first}" if first else type(error).__name__
    detail = "\n".join(filter(None, [frames(error, path), *(f"  {line}" for line in more)]))
    return _problem(
        experiment,
        index,
        f"importing {path.name} failed: {reason}",
        detail,
    )


def _problem(experiment: Experiment, index: int, text: str, detail: str = "") -> ConfigError:
    path = ("plugins", index)
    return ConfigError([Problem(experiment.document.place(path), path, text, detail)])


def _in_order_of_imports(paths: Sequence[Path]) -> list[Path]:
    """Return plugins such that each comes after those that it imports."""
    ordered: list[Path] = []

    def visit(path: Path, importing: tuple[Path, ...] = ()) -> None:
        if path in ordered or path in importing:
            return
        for neighbour in python_source.imported_neighbours(path):
            visit(neighbour, (*importing, path))
        ordered.append(path)

    for path in paths:
        visit(path)
    return [path for path in ordered if path in paths]


class _PluginLoader(SourceFileLoader):
    """Compiles the current text of a plugin, and writes no bytecode file."""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def _import(name: str, path: Path, *, is_imported: bool) -> None:
    """Import a plugin, under its file's name too if other plugins import it by that."""
    if is_imported and path.stem in sys.modules:
        raise ImportError(f"another module is called '{path.stem}'; rename the file")
    package = ModuleType(PACKAGE)
    package.__path__ = []
    sys.modules.setdefault(PACKAGE, package)
    loader = _PluginLoader(name, str(path))
    spec = ModuleSpec(name, loader, origin=str(path))
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if is_imported:
        sys.modules[path.stem] = module
    loader.exec_module(module)


def _forget(stem: str) -> None:
    name = f"{PACKAGE}.{stem}"
    if name in sys.modules and sys.modules.get(stem) is sys.modules[name]:
        del sys.modules[stem]
    for registry in REGISTRIES.values():
        registry.forget(name)
