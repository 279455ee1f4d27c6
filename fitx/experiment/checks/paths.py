"""Resolves paths in options of parts relative to the file in which they are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fitx.experiment.experiment import Experiment
from fitx.experiment.schema import Settings
from fitx.experiment.yaml.load import Document
from fitx.experiment.yaml.tree import KeyPath, Node, Place, TextSource, dotted
from fitx.registry.annotations import WrittenPath
from fitx.registry.kinds import FITX_KINDS, Part
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import NO_DEFAULT

_INPUTS = ("step", "networks", "optimizers", "loss", "metrics", "weighted_metrics")
"""Keys whose parts read the files they name. Datasets are recognized by their contents instead, and
callbacks write files."""


def with_absolute_paths(settings: Settings, document: Document, part_index: PartIndex) -> Settings:
    """Return the settings with absolute paths in all parts.

    A path is relative to the file in which it is written: the experiment file, or the plugin for
    a default. On the command line it is relative to the working directory.
    """
    keys = {key: getattr(settings, key) for key in Settings.model_fields}
    tree = document.tree
    changed = {k: _absolute(v, tree.at((k,)) or tree, part_index) for k, v in keys.items()}
    return settings.model_copy(update=changed)


def input_files(experiment: Experiment) -> dict[str, Path]:
    """Return the files that parts of an experiment read, by key such as `step.weights`.

    Files of the dataset and of callbacks are not included.
    """
    values = {key: getattr(experiment, key) for key in _INPUTS}
    return {dotted(path): file for path, file in _paths(values, ())}


def _absolute(value: Any, node: Node, part_index: PartIndex) -> Any:
    """Return a value that was read from a node, with absolute paths."""
    if isinstance(value, WrittenPath):
        return node.place.source.file(value)

    def below(item: Any, step: str | int) -> Any:
        return _absolute(item, node.at((step,)) or node, part_index)

    if isinstance(value, Part):
        options = {key: below(item, key) for key, item in value.options.items()}
        return replace(value, options={**_default_paths(value, part_index), **options})
    if isinstance(value, dict):
        return {key: below(item, key) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(below(item, index) for index, item in enumerate(value))
    if isinstance(value, set | frozenset):
        return type(value)(below(item, _index(item, node)) for item in value)
    return value


def _index(item: Any, node: Node) -> int:
    """Return the index in the list from which an item of a set was read."""
    nodes = node.value if isinstance(node.value, list) else []
    return next((index for index, each in enumerate(nodes) if each.value == item), 0)


def _default_paths(part: Part, part_index: PartIndex) -> dict[str, Any]:
    """Return the default paths of a part that the experiment does not set."""
    signature = part_index.signature(part.kind, part.name) if part.kind in FITX_KINDS else None
    if signature is None:
        return {}
    node = Node(None, Place(TextSource(str(signature.file), folder=signature.file.parent)))
    defaults = {}
    for parameter in signature.parameters:
        is_given = parameter.name in part.options
        if "Path" in parameter.text and parameter.default is not NO_DEFAULT and not is_given:
            # A default may have another type than its annotation.
            with suppress(ValidationError):
                default = TypeAdapter(parameter.type).validate_python(parameter.default)
                defaults[parameter.name] = _absolute(default, node, part_index)
    return {name: value for name, value in defaults.items() if any(_paths(value, ()))}


def _paths(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Path]]:
    """Yield (key, path) for every path in a value."""
    if isinstance(value, Path):
        yield path, value
    if isinstance(value, Part):
        yield from _paths(value.options, path)
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, (*path, key))
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        for index, item in enumerate(ordered):
            yield from _paths(item, (*path, index))
