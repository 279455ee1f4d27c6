"""Shelves of parts: a part's name is the name of the file that registers it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])


class Registry:
    """Parts of one kind, found by file name and imported only when asked for."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._registered: dict[str, Callable[..., Any]] = {}

    def register(self, part: T) -> T:
        """Put a part on the shelf under the name of the file that defines it."""
        name = part.__module__.rpartition(".")[2]
        known = self._registered.get(name)
        if known is not None and known.__module__ != part.__module__:
            raise ValueError(f"{self.kind} '{name}' is registered already, by {known.__module__}")
        if known is not None and known.__qualname__ != part.__qualname__:
            raise ValueError(f"one file registers one {self.kind}; {name}.py registers two")
        self._registered[name] = part
        return part

    def files(self) -> dict[str, Path]:
        """Return the file of every shipped part, by name, importing none."""
        spec = importlib.util.find_spec(self.package)
        folders = spec.submodule_search_locations if spec else None
        return {
            file.stem: file
            for folder in folders or []
            for file in sorted(Path(folder).glob("*.py"))
            if not file.stem.startswith("_")
        }

    def get(self, name: str) -> Callable[..., Any]:
        """Return the part called `name`, importing its file on first use."""
        if name not in self._registered:
            importlib.import_module(f"{self.package}.{name}")
        return self._registered[name]

    def holds(self, module: str) -> bool:
        """Whether a module has put its part on the shelf."""
        return any(part.__module__ == module for part in self._registered.values())

    def forget(self, module: str) -> None:
        """Take a plugin's parts off the shelf again, so that its file can be loaded anew."""
        for name in [n for n, part in self._registered.items() if part.__module__ == module]:
            del self._registered[name]
        sys.modules.pop(module, None)


steps = Registry("step", "fitx.steps")
models = Registry("model", "fitx.models")
datasets = Registry("dataset", "fitx.datasets")
callbacks = Registry("callback", "fitx.callbacks")

REGISTRIES = {registry.kind: registry for registry in (steps, models, datasets, callbacks)}
