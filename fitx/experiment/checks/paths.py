"""Paths in options of parts: each starts at the file that holds it."""

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
"""Keys whose parts read the files they name. A dataset is known by its numbers instead, and
callbacks may write theirs."""


def with_absolute_paths(settings: Settings, document: Document, part_index: PartIndex) -> Settings:
    """Return the settings with every path of every part absolute.

    A path starts at the file that it is written in, one of the command line at the working
    directory, and the default of an option at the plugin. A leading `~` is the home folder.
    """
    keys = {key: getattr(settings, key) for key in Settings.model_fields}
    tree = document.tree
    changed = {k: _absolute(v, tree.at((k,)) or tree, part_index) for k, v in keys.items()}
    return settings.model_copy(update=changed)


def input_files(experiment: Experiment) -> dict[str, Path]:
    """Return the paths that parts of an experiment read from, by key such as `step.weights`.

    Those of the data are left out, and those of callbacks.
    """
    values = {key: getattr(experiment, key) for key in _INPUTS}
    return {dotted(path): file for path, file in _paths(values, ())}


def _absolute(value: Any, node: Node, part_index: PartIndex) -> Any:
    """Return a value, which was read from a node, with its paths absolute."""
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
    """Return the place in a list of what was read from it into a set."""
    nodes = node.value if isinstance(node.value, list) else []
    return next((index for index, each in enumerate(nodes) if each.value == item), 0)


def _default_paths(part: Part, part_index: PartIndex) -> dict[str, Any]:
    """Return the paths that a part takes by default and the experiment leaves out."""
    signature = part_index.signature(part.kind, part.name) if part.kind in FITX_KINDS else None
    if signature is None:
        return {}
    beside = Node(None, Place(TextSource(str(signature.file), folder=signature.file.parent)))
    found = {}
    for parameter in signature.parameters:
        is_given = parameter.name in part.options
        if "Path" in parameter.text and parameter.default is not NO_DEFAULT and not is_given:
            # A default may be of another type than its annotation says.
            with suppress(ValidationError):
                default = TypeAdapter(parameter.type).validate_python(parameter.default)
                found[parameter.name] = _absolute(default, beside, part_index)
    return {name: value for name, value in found.items() if any(_paths(value, ()))}


def _paths(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Path]]:
    """Yield every path in a value with its key."""
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
