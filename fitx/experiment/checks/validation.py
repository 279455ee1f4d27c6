"""The tree of a document against the language and its parts: every problem in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError

from fitx.experiment.checks.explain import explain, text_of_environment
from fitx.experiment.checks.options import OptionCheck
from fitx.experiment.problems import Problem, describe
from fitx.experiment.schema import SECTIONS, Settings
from fitx.experiment.yaml.load import Document
from fitx.experiment.yaml.tree import KeyPath, Node
from fitx.registry.kinds import INVALID_PART
from fitx.registry.part_index import PartIndex


def validate(
    document: Document, part_index: PartIndex, known: Sequence[Problem] = ()
) -> tuple[Settings, list[Problem]]:
    """Check every key and option by itself.

    What is wrong is noted and left out, so that the settings returned hold all the rest.

    Args:
        document: What to check.
        part_index: The parts that the experiment may name.
        known: Problems of the document that are known already.
    """
    infinite = _infinite(document.tree)
    tree = _without(document.tree, [*known, *infinite])
    settings, found = _validated(replace(document, tree=tree), OptionCheck(part_index))
    return settings, [*infinite, *found]


def _validated(document: Document, check: OptionCheck) -> tuple[Settings, list[Problem]]:
    try:
        return Settings.model_validate(document.tree.as_python(), context={"check": check}), []
    except ValidationError as error:
        tree = text_of_environment(error, document.tree)
        if tree is not document.tree:
            return _validated(replace(document, tree=tree), check)
        found = explain(error, document, check.part_index)
    rest = replace(document, tree=_without(document.tree, found))
    settings, more = _validated(rest, check)
    return settings, [*found, *more]


def _infinite(tree: Node) -> list[Problem]:
    """Refuse infinity and NaN wherever they stand: JSON has none, and no option means them."""
    return [
        Problem(node.place, path, f"expected a finite number, found {describe(node.value)}.")
        for path, node in tree.walk()
        if isinstance(node.value, float) and not math.isfinite(node.value)
    ]


def _without(tree: Node, problems: Sequence[Problem]) -> Node:
    for problem in problems:
        tree = _cut(tree, problem.path)
    return tree


def _cut(tree: Node, path: KeyPath) -> Node:
    """Return the tree without what stands at `path`; of a part, without the whole part."""
    if not path or not isinstance(tree.value, dict) or str(path[0]) not in tree.value:
        return tree
    key, rest = str(path[0]), path[1:]
    child = tree.value[key]
    others = {k: v for k, v in tree.value.items() if k != key}
    if key in _LISTS and isinstance(child.value, list) and rest:
        # The parts after it keep their places.
        items = [_broken(item) if i == rest[0] else item for i, item in enumerate(child.value)]
        return replace(tree, value={**others, key: replace(child, value=items)})
    holds_more = key in ("networks", "optimizers", "expect", *SECTIONS)
    if holds_more and rest and isinstance(child.value, dict):
        return replace(tree, value={**others, key: _cut(child, rest[:1])})
    return replace(tree, value=others)


_LISTS = ("metrics", "weighted_metrics", "callbacks")
"""Keys that hold a list of parts."""


def _broken(node: Node) -> Node:
    return replace(node, value=INVALID_PART, raw=None)  # type: ignore[arg-type]
