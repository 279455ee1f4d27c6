"""Validates the tree of a document against the schema and the signatures of its parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from fitx.experiment.checks.options import OptionCheck
from fitx.experiment.checks.pydantic_errors import as_text_where_expected, explain
from fitx.experiment.problems import Problem, describe
from fitx.experiment.schema import SECTIONS, Settings
from fitx.experiment.yaml.load import Document
from fitx.experiment.yaml.tree import KeyPath, Node
from fitx.registry.kinds import INVALID_PART, PartWithWrongOptions
from fitx.registry.part_index import PartIndex


def validate(
    document: Document, part_index: PartIndex, reported: Sequence[Problem] = ()
) -> tuple[Settings, list[Problem]]:
    """Check every key and option by itself.

    Returns:
        The settings without all that is wrong, so that the rest can be checked further, and the
        problems.

    Args:
        document: The document to check.
        part_index: The parts that the experiment may name.
        reported: Problems of the document that are reported already; their keys are left out.
    """
    check = OptionCheck(part_index, _step_name(document.tree))
    problems = _infinite(document.tree)
    tree = _without(document.tree, [*reported, *problems])
    while True:
        try:
            settings = Settings.model_validate(tree.as_python(), context={"check": check})
            return settings, problems
        except ValidationError as error:
            text_tree = as_text_where_expected(error, tree)
            if text_tree is tree:
                wrong = explain(error, replace(document, tree=tree), part_index)
                problems += wrong
                text_tree = _without(tree, wrong)
            tree = text_tree


def _step_name(tree: Node) -> str:
    step = tree.at(("step", "name")) or tree.at(("step",))
    return step.value if step is not None and isinstance(step.value, str) else ""


def _infinite(tree: Node) -> list[Problem]:
    """Return a problem for every infinity and NaN: JSON has none, and no option needs one."""
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
    """Return the tree without the value at `path`; if it is within a part, without the part.

    Of the step its name is left, which tells what the other keys may hold.
    """
    if not path or not isinstance(tree.value, dict) or str(path[0]) not in tree.value:
        return tree
    key, rest = str(path[0]), path[1:]
    child = tree.value[key]
    others = {k: v for k, v in tree.value.items() if k != key}
    if key == "step" and rest and isinstance(child.value, dict):
        name = child.value["name"].value if "name" in child.value else None
        if isinstance(name, str):
            return replace(tree, value={**others, key: _without_options(child, name)})
    if key in _LISTS and isinstance(child.value, list) and rest:
        # The parts after it keep their indices.
        items = [_invalid(item) if i == rest[0] else item for i, item in enumerate(child.value)]
        return replace(tree, value={**others, key: replace(child, value=items)})
    holds_more = key in ("networks", "optimizers", "compile", "expect", *SECTIONS)
    if holds_more and rest and isinstance(child.value, dict):
        return replace(tree, value={**others, key: _cut(child, rest[:1])})
    return replace(tree, value=others)


_LISTS = ("metrics", "weighted_metrics", "callbacks")
"""Keys that hold lists of parts."""


def _without_options(part: Node, name: str) -> Node:
    value: Any = PartWithWrongOptions(name)
    return replace(part, value=value, raw=None)


def _invalid(node: Node) -> Node:
    return replace(node, value=INVALID_PART, raw=None)  # type: ignore[arg-type]
