"""Where else in an experiment a key belongs: the nearest known name anywhere in the tree."""

from __future__ import annotations

from collections.abc import Iterator

from fitx.experiment.checks.options import accepted, batch_options
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
"""Where an experiment names parts, and of what kind; the likeliest home of a key stands last."""


def home(path: KeyPath, tree: Node, part_index: PartIndex) -> str:
    """Say where a key that is unknown at `path` belongs, or nothing."""
    key, own_kind = str(path[-1]), _PARTS.get(str(path[0]))
    homes = dict(_homes(tree, part_index, own_kind if len(path) > 1 else None))
    homes = {name: where for name, where in homes.items() if where[:-1] != path[:-1]}
    if key in homes:
        where = homes[key]
        return f" It belongs at {'the top level' if len(where) == 1 else dotted(where)}."
    # A far-off name is worth telling only if it is all but the same.
    close = closest(key, homes, cutoff=0.8)
    return f" Did you mean '{dotted(homes[close])}'?" if close else ""


def _homes(tree: Node, part_index: PartIndex, but: str | None) -> Iterator[tuple[str, KeyPath]]:
    """Yield (key, path) of what this experiment could hold, leaving out parts of the kind `but`."""
    for path, kind, name in _named_parts(tree):
        signature = part_index.signature(kind, name) if kind != but else None
        for parameter in accepted(signature) if signature else ():
            yield parameter.name, (*path, parameter.name)
    yield from ((p.name, ("data", p.name)) for p in batch_options())
    for section, model in SECTIONS.items():
        yield from ((key, (section, key)) for key in model.model_fields)
    yield from ((key, (key,)) for key in (*Settings.model_fields, "extends"))


def _named_parts(tree: Node) -> Iterator[tuple[KeyPath, str, str]]:
    """Yield (path, kind, name) of the parts that stand by themselves, not in lists."""
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
