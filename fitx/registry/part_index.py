"""Every part that one experiment may name: shipped ones, Keras' own, and its plugins'."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from fitx.registry import keras_parts, kinds, python_source
from fitx.registry.python_source import Found
from fitx.registry.registries import REGISTRIES
from fitx.registry.signature import Parameter, Signature, read_signature
from fitx.registry.step_facts import StepFacts, read_facts

_MODEL = Parameter("model", object, "model", required=True, positional=True)


class PartIndex:
    """Finds parts by kind and name, reading source and importing none of it."""

    def __init__(self) -> None:
        self.plugins: dict[Path, dict[str, Found]] = {}
        self.unread: set[str] = set()
        """Names that plugins would have registered that cannot be read."""

    def add_plugin(self, path: Path) -> dict[str, Found]:
        """Read what a plugin registers, by kind. Raises SyntaxError, OSError, ValueError."""
        module = python_source.parse(path)
        parts: dict[str, Found] = {}
        for kind, node in registrations(module):
            if kind in parts:
                raise ValueError(f"registers two {kind}s; one file registers one of a kind")
            parts[kind] = Found(module, node)
        self.plugins[path] = parts
        return parts

    def drop_plugin(self, path: Path) -> None:
        """Forget what a plugin registers."""
        self.plugins.pop(path, None)

    def registered_as(self, kind: str, title: str) -> str | None:
        """Return the name of the plugin part whose class or function is called `title`."""
        return next(
            (p.stem for p, parts in self.plugins.items() if _is_called(parts.get(kind), title)),
            None,
        )

    def kinds_of(self, name: str) -> list[str]:
        """Return every kind that has a part of this name."""
        return [kind for kind in kinds.KINDS if name in self.spellings(kind)]

    def names(self, kind: str) -> list[str]:
        """Return the name of every part of one kind, sorted."""
        own = REGISTRIES[kind].files() if kind in REGISTRIES else {}
        plugins = [path.stem for path, parts in self.plugins.items() if kind in parts]
        return sorted({*own, *plugins, *keras_parts.names(kind)})

    def spellings(self, kind: str) -> list[str]:
        """Return every name of a kind that is understood, short ones included."""
        return list(dict.fromkeys([*self.names(kind), *keras_parts.aliases(kind)]))

    def is_shipped(self, kind: str, name: str) -> bool:
        """Whether fitx itself has a part of this kind and name."""
        return kind in REGISTRIES and name in REGISTRIES[kind].files()

    def find(self, kind: str, name: str) -> Found | None:
        """Find the source of a part: a plugin's, a shipped one, or Keras' own."""
        for path, parts in self.plugins.items():
            if path.stem == name and kind in parts:
                return parts[kind]
        if self.is_shipped(kind, name):
            module = python_source.read(REGISTRIES[kind].files()[name])
            return next((Found(module, n) for k, n in registrations(module) if k == kind), None)
        return keras_parts.find(kind, name)

    def signature(self, kind: str, name: str) -> Signature | None:
        """Return what a part takes, or None if there is no part of that name."""
        special = keras_parts.special(kind, name)
        if special is not None:
            return special
        found = self.find(kind, name)
        if found is None:
            return None
        signature = read_signature(kind, name, found)
        if found.is_keras:
            return keras_parts.narrowed(signature)
        if kind == "step" and not signature.positional:
            parameters = (_MODEL, *signature.options)
            return Signature(**{**vars(signature), "parameters": parameters})
        return signature

    def step_facts(self, name: str) -> StepFacts | None:
        """Return what a shipped step takes and logs; None for a plugin's, which a trace tells."""
        found = self.find("step", name) if self.is_shipped("step", name) else None
        return read_facts(found) if found is not None else None


def _is_called(found: Found | None, title: str) -> bool:
    return found is not None and found.node.name == title


def registrations(module: python_source.Module) -> Iterator[tuple[str, python_source.Definition]]:
    """Yield (kind, definition) of everything in a file under a `@steps.register` or the like."""
    for node in module.defined:
        for decorator in node.decorator_list:
            kind = _registered_kind(module, ast.unparse(decorator))
            if kind is not None:
                yield kind, node


def _registered_kind(module: python_source.Module, decorator: str) -> str | None:
    registry, _, last = decorator.rpartition(".")
    if last != "register":
        return None
    package, attribute = module.imports.get(registry.partition(".")[0] or last, ("", ""))
    word = registry.rpartition(".")[2] if "." in registry else (attribute if registry else package)
    kind = word.rpartition(".")[2].removesuffix("s")
    return kind if kind in kinds.OURS and package.partition(".")[0] == "fitx" else None
