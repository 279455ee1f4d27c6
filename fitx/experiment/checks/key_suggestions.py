"""Suggests where a misplaced key belongs."""

from __future__ import annotations

from collections.abc import Iterator

from fitx.experiment.checks.options import accepted_options, data_options
from fitx.experiment.problems import closest
from fitx.experiment.schema import SECTIONS, Settings
from fitx.experiment.yaml.tree import KeyPath, Node, dotted
from fitx.registry.part_index import PartIndex

_PARTS = {
    "optimizers": "optimizer",
    "networks": "model",
    "loss": "loss",
    "data": "dataset",
    "step": "step",
    "optimizer": "optimizer",
    "model": "model",
}
"""Kinds of the parts at top-level keys; of several places for a key, the last is suggested."""


def suggest_place(path: KeyPath, tree: Node, part_index: PartIndex) -> str:
    """Return a sentence that says where a key unknown at `path` belongs, or nothing."""
    key, kind = str(path[-1]), _PARTS.get(str(path[0])) if len(path) > 1 else None
    places = {name: at for name, at in _known_keys(tree, part_index, kind) if at[:-1] != path[:-1]}
    if key in places:
        place = places[key]
        return f" It belongs at {'the top level' if len(place) == 1 else dotted(place)}."
    # A key of another section is only suggested if it is almost the same.
    close = closest(key, places, cutoff=0.8)
    return f" Did you mean '{dotted(places[close])}'?" if close else ""


def _known_keys(
    tree: Node, part_index: PartIndex, left_out: str | None
) -> Iterator[tuple[str, KeyPath]]:
    """Yield (key, path) of every key that the experiment may hold, without parts of one kind."""
    for path, kind, name in _named_parts(tree):
        signature = part_index.signature(kind, name) if kind != left_out else None
        for parameter in accepted_options(signature) if signature else ():
            yield parameter.name, (*path, parameter.name)
    yield from ((p.name, ("data", p.name)) for p in data_options())
    for section, model in SECTIONS.items():
        yield from ((key, (section, key)) for key in model.model_fields)
    yield from ((key, (key,)) for key in (*Settings.model_fields, "extends"))


def _named_parts(tree: Node) -> Iterator[tuple[KeyPath, str, str]]:
    """Yield (path, kind, name) of the parts that are not in lists."""
    for key, kind in _PARTS.items():
        node = tree.at((key,))
        parts = node.value if node is not None and key.endswith("s") else {}
        if node is not None and not key.endswith("s"):
            yield from _named((key,), kind, node)
        elif isinstance(parts, dict):
            for name, part in parts.items():
                yield from _named((key, name), kind, part)


def _named(path: KeyPath, kind: str, node: Node) -> Iterator[tuple[KeyPath, str, str]]:
    name = node.value.get("name") if isinstance(node.value, dict) else node
    if name is not None and isinstance(name.value, str):
        yield path, kind, name.value
