"""Registries of steps, models, datasets and callbacks; a part has the name of its file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])


class Registry:
    """Parts of one kind, by name; the file of a part is imported when the part is first used."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._registered: dict[str, Callable[..., Any]] = {}

    def register(self, part: T) -> T:
        """Register a part under the name of the file that defines it."""
        name = part.__module__.rpartition(".")[2]
        previous = self._registered.get(name)
        if previous is not None and previous.__module__ != part.__module__:
            raise ValueError(
                f"{self.kind} '{name}' is registered already, by {previous.__module__}"
            )
        if previous is not None and previous.__qualname__ != part.__qualname__:
            raise ValueError(f"one file registers one {self.kind}; {name}.py registers two")
        self._registered[name] = part
        return part

    def files(self) -> dict[str, Path]:
        """Return the files of the shipped parts by name; none is imported."""
        spec = importlib.util.find_spec(self.package)
        folders = spec.submodule_search_locations if spec else None
        return {
            file.stem: file
            for folder in folders or []
            for file in sorted(Path(folder).glob("*.py"))
            if not file.stem.startswith("_")
        }

    def get(self, name: str) -> Callable[..., Any]:
        """Return the part called `name`; its file is imported on first use."""
        if name not in self._registered:
            importlib.import_module(f"{self.package}.{name}")
        return self._registered[name]

    def has_part_of(self, module: str) -> bool:
        """Return whether a module has registered a part."""
        return any(part.__module__ == module for part in self._registered.values())

    def forget(self, module: str) -> None:
        """Remove the parts of a plugin, so that its file can be imported again."""
        for name in [n for n, part in self._registered.items() if part.__module__ == module]:
            del self._registered[name]
        sys.modules.pop(module, None)


steps = Registry("step", "fitx.steps")
models = Registry("model", "fitx.models")
datasets = Registry("dataset", "fitx.datasets")
callbacks = Registry("callback", "fitx.callbacks")

REGISTRIES = {registry.kind: registry for registry in (steps, models, datasets, callbacks)}
