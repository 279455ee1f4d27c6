"""Index of the parts that one experiment may name: shipped parts, Keras' own, and its plugins'."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from fitx.registry import keras_parts, kinds, model_classes, python_source
from fitx.registry.own_parts import likely_kind, own_signature
from fitx.registry.python_source import Definition, DefinitionNode, Module
from fitx.registry.registries import REGISTRIES
from fitx.registry.signature import Parameter, Signature, read_signature
from fitx.registry.step_facts import StepFacts, read_facts

_MODEL = Parameter("model", object, "model", required=True, positional=True)


class PartIndex:
    """Finds parts by kind and name; reads their source and imports none of it."""

    def __init__(self) -> None:
        self.plugins: dict[Path, dict[str, Definition]] = {}
        self._modules: dict[Path, Module] = {}
        self.unreadable_names: set[str] = set()
        """Names of parts in plugins that could not be read."""

    def add_plugin(self, path: Path) -> dict[str, Definition]:
        """Add the parts of a plugin; return those that it registers, by kind.

        Raises:
            SyntaxError, OSError, ValueError: The file cannot be read, or registers two of a kind.
        """
        module = python_source.parse(path)
        parts: dict[str, Definition] = {}
        for kind, node in registrations(module):
            if kind in parts:
                raise ValueError(f"registers two {kind}s; one file registers one of a kind")
            parts[kind] = Definition(module, node)
        self.plugins[path] = parts
        self._modules[path] = module
        return parts

    def drop_plugin(self, path: Path) -> None:
        """Remove the parts of a plugin."""
        self.plugins.pop(path, None)
        self._modules.pop(path, None)

    def own_names(self, path: Path) -> list[str]:
        """Return the names of the classes and functions of a plugin that it does not register."""
        registered = [definition.node for definition in self.plugins[path].values()]
        definitions = self._modules[path].definitions.items()
        return [n for n, node in definitions if node not in registered and not n.startswith("_")]

    def own_kind(self, path: Path, name: str) -> str:
        """Return the kind that an unregistered part of a plugin seems to have."""
        definition = self._own(path, name)
        return "model" if definition is None else likely_kind(definition)

    def plugin_with(self, kind: str, name: str) -> Path | None:
        """Return the plugin with a part of this kind and name, registered or not."""
        registered = (p for p, parts in self.plugins.items() if p.stem == name and kind in parts)
        return next(registered, None) or self.plugin_of(kind, name)

    def plugin_of(self, kind: str, name: str) -> Path | None:
        """Return the plugin with an unregistered part of this name; None for any other part."""
        if any(path.stem == name and kind in parts for path, parts in self.plugins.items()):
            return None
        return next((path for path in self._modules if self._own(path, name) is not None), None)

    def _own(self, path: Path, name: str) -> Definition | None:
        """Return what a plugin defines or imports under a name, and does not register."""
        if name in self._modules[path].definitions:
            found = name in self.own_names(path)
            return python_source.find(self._modules[path], name) if found else None
        package, _ = self._modules[path].imports.get(name, ("", ""))
        if package.partition(".")[0] in sys.stdlib_module_names:
            # An experiment file must not call what a plugin only uses, such as `subprocess.run`.
            return None
        definition = python_source.find(self._modules[path], name)
        return None if definition is None or definition.is_keras else definition

    def namesakes(self, kind: str, name: str) -> list[str]:
        """Return where parts of this kind and name are defined, if there are several."""
        files = [path.name for path in self._modules if self._own(path, name) is not None]
        if files and self.is_shipped(kind, name):
            files.append("fitx")
        if files and keras_parts.find(kind, name) is not None:
            files.append("Keras")
        return files if len(files) > 1 else []

    def registered_as(self, kind: str, title: str) -> str | None:
        """Return the name of the part of a plugin whose class or function is called `title`."""
        return next(
            (
                path.stem
                for path, parts in self.plugins.items()
                if _has_title(parts.get(kind), title)
            ),
            None,
        )

    def kinds_of(self, name: str) -> list[str]:
        """Return the kinds that have a part of this name."""
        return [kind for kind in kinds.KINDS if name in self.spellings(kind)]

    def names(self, kind: str) -> list[str]:
        """Return the names of the parts of one kind, sorted."""
        shipped = REGISTRIES[kind].files() if kind in REGISTRIES else {}
        plugins = [path.stem for path, parts in self.plugins.items() if kind in parts]
        own = [name for path in self.plugins for name in self.own_names(path)]
        return sorted({*shipped, *plugins, *own, *keras_parts.names(kind)})

    def spellings(self, kind: str) -> list[str]:
        """Return the names of the parts of one kind, including short names such as `mse`."""
        return list(dict.fromkeys([*self.names(kind), *keras_parts.aliases(kind)]))

    def is_shipped(self, kind: str, name: str) -> bool:
        """Return whether fitx ships a part of this kind and name."""
        return kind in REGISTRIES and name in REGISTRIES[kind].files()

    def find(self, kind: str, name: str) -> Definition | None:
        """Find the source of a part: of a plugin, of fitx or of Keras, in this order."""
        for path, parts in self.plugins.items():
            if path.stem == name and kind in parts:
                return parts[kind]
        own = self.plugin_of(kind, name)
        if own is not None:
            return self._own(own, name)
        if self.is_shipped(kind, name):
            module = python_source.read(REGISTRIES[kind].files()[name])
            return next(
                (Definition(module, n) for k, n in registrations(module) if k == kind), None
            )
        return keras_parts.find(kind, name)

    def signature(self, kind: str, name: str) -> Signature | None:
        """Return the signature of a part, or None if no part has this name."""
        by_shape = keras_parts.shape_dependent(kind, name)
        if by_shape is not None:
            return by_shape
        definition = self.find(kind, name)
        if definition is None:
            return None
        is_model = kind == "step" and model_classes.derives_from_keras(definition)
        if is_model or self.plugin_of(kind, name) is not None:
            return own_signature(kind, name, definition)
        signature = read_signature(kind, name, definition)
        if definition.is_keras:
            return keras_parts.with_keras_types(signature)
        if kind == "step" and not signature.positional:
            parameters = (_MODEL, *signature.options)
            return Signature(**{**vars(signature), "parameters": parameters})
        return signature

    def compile_signature(self, step: str) -> Signature | None:
        """Return the arguments of a step's `compile`; None for a step that fitx compiles itself."""
        signature, definition = self.signature("step", step), self.find("step", step)
        if signature is None or definition is None or not signature.is_model_class:
            return None
        return model_classes.compile_signature(signature, definition)

    def step_facts(self, name: str) -> StepFacts | None:
        """Return the declared facts of a shipped step; None for a step of a plugin."""
        definition = self.find("step", name) if self.is_shipped("step", name) else None
        return read_facts(definition) if definition is not None else None


def _has_title(definition: Definition | None, title: str) -> bool:
    return definition is not None and definition.node.name == title


def registrations(module: Module) -> Iterator[tuple[str, DefinitionNode]]:
    """Yield (kind, definition) of everything that a file registers, as with `@steps.register`."""
    for node in module.defined:
        for decorator in node.decorator_list:
            kind = _registered_kind(module, ast.unparse(decorator))
            if kind is not None:
                yield kind, node


def _registered_kind(module: Module, decorator: str) -> str | None:
    registry, _, last = decorator.rpartition(".")
    if last != "register":
        return None
    package, attribute = module.imports.get(registry.partition(".")[0] or last, ("", ""))
    word = registry.rpartition(".")[2] if "." in registry else (attribute if registry else package)
    kind = word.rpartition(".")[2].removesuffix("s")
    return kind if kind in kinds.FITX_KINDS and package.partition(".")[0] == "fitx" else None
