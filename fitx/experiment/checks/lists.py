"""Lists of which one item may be written alone: `metrics: accuracy`, `callbacks: {name: ...}`."""

from __future__ import annotations

from dataclasses import replace

from fitx.experiment.yaml.tree import KeyPath, Node

LISTS: tuple[KeyPath, ...] = (
    ("plugins",),
    ("metrics",),
    ("weighted_metrics",),
    ("callbacks",),
    ("fit", "allow_nan"),
)
"""Where an experiment holds lists of names or of parts."""


def with_lists(tree: Node) -> Node:
    """Return a tree in which an item that is written alone stands in a list."""
    for path in LISTS:
        tree = _listed(tree, path)
    return tree


def _listed(node: Node, path: KeyPath) -> Node:
    if not path:
        is_part = isinstance(node.value, dict) and "name" in node.value
        is_name = isinstance(node.value, str) and node.value
        return Node([node], node.place) if is_part or is_name else node
    key = str(path[0])
    if not isinstance(node.value, dict) or key not in node.value:
        return node
    child = _listed(node.value[key], path[1:])
    return replace(node, value={**node.value, key: child})
