"""Converts pydantic's errors into problems of keys and parts, with their places in the file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from fitx.experiment.checks.key_suggestions import suggest_place
from fitx.experiment.checks.options import accepted_options
from fitx.experiment.checks.wrong_values import wrong_key_text, wrong_value
from fitx.experiment.problems import Problem, closest, listed, nearest, shorten
from fitx.experiment.schema import SECTIONS, Settings
from fitx.experiment.yaml.load import Document
from fitx.experiment.yaml.tree import KeyPath, Node, dotted
from fitx.registry import keras_parts
from fitx.registry.kinds import FITX_KINDS, with_article
from fitx.registry.part_index import PartIndex
from fitx.registry.signature import Signature


def explain(error: ValidationError, document: Document, part_index: PartIndex) -> list[Problem]:
    """Return a problem for every key that has an error.

    The text is empty where the error only follows from another problem, which is reported already.
    """
    by_path: dict[KeyPath, list[Any]] = {}
    for item in _without_misspelt(error.errors()):
        by_path.setdefault(_path_in_file(item, document.tree), []).append(item)
    # A value that may have several types has an error for each; the deepest fits the value best.
    # The name of an unknown part is wrong besides.
    outer = {path[:length] for path in by_path for length in range(len(path))}
    return [
        _problem(path, items, document, part_index)
        for path, items in by_path.items()
        if path not in outer or items[0]["type"] == "unknown_part"
    ]


def as_text_where_expected(error: ValidationError, tree: Node) -> Node:
    """Return the tree with text for each `${env:...}` that was read as a number in place of text.

    The hash of a commit, for example, may consist of digits only.
    """
    for item in error.errors():
        path = _path_in_file(item, tree)
        node = tree.at(path)
        if item["type"] in ("string_type", "path_type") and node is not None and _is_number(node):
            tree = tree.with_node(path, replace(node, value=node.text))
    return tree


def _is_number(node: Node) -> bool:
    """Return whether a value from the environment was read as something other than text."""
    return node.raw is not None and node.text is not None and not isinstance(node.value, str)


def _without_misspelt(items: list[Any]) -> list[Any]:
    """Return errors without those of missing options that are present under a misspelt name."""
    unknown = [item["loc"] for item in items if item["type"] == "unknown_option"]

    def is_misspelt(location: KeyPath) -> bool:
        names = [str(other[-1]) for other in unknown if other[:-1] == location[:-1]]
        return closest(str(location[-1]), names) is not None

    return [i for i in items if i["type"] != "missing_option" or not is_misspelt(i["loc"])]


def _path_in_file(item: Any, tree: Node) -> KeyPath:
    """Return the path of an error's key in the file.

    pydantic's location also holds steps of its own, such as the member of a union.
    """
    location: KeyPath = tuple(item["loc"])
    is_absent = item["type"] == "missing_option"
    path: KeyPath = ()
    for step in location[: len(location) - is_absent]:
        if tree.at((*path, step)) is not None:
            path = (*path, step)
    return (*path, location[-1]) if is_absent else path


def _problem(path: KeyPath, items: list[Any], document: Document, part_index: PartIndex) -> Problem:
    by_type = {item["type"]: item for item in reversed(items)}
    if "extra_forbidden" in by_type:
        text = _unknown_key(path, document.tree, part_index)
        return Problem(document.place(path), path, text)
    if items[0]["loc"][-1] == "[key]":
        return Problem(document.place(path), path, wrong_key_text(path, items[0]))
    if "unknown_option" in by_type:
        signature = by_type["unknown_option"]["ctx"]["signature"]
        text = _unknown_option(signature, path, document.tree, part_index)
        return Problem(document.place(path), path, text)
    if "missing_option" in by_type:
        signature = by_type["missing_option"]["ctx"]["signature"]
        text = f"missing; {_called(signature)} needs it."
        return Problem(document.place(path), path, text)
    if "unknown_part" in by_type:
        return _unknown_part(path, by_type["unknown_part"]["ctx"], document, part_index)
    if "part_twice" in by_type:
        return Problem(document.place(path), path, by_type["part_twice"]["msg"])
    if "no_options" in by_type:
        text = _no_options(by_type["no_options"]["ctx"], part_index)
        return Problem(document.place(path), path, text)
    if "unread_part" in by_type:
        # The plugin that cannot be read is reported already.
        return Problem(document.place(path), path, "")
    return wrong_value(path, items, document)


def _unknown_key(path: KeyPath, tree: Node, part_index: PartIndex) -> str:
    if path[0] == "networks":
        return f"a copy takes no '{path[-1]}': it has the options of the network that it copies."
    section = SECTIONS.get(str(path[0])) if len(path) > 1 else Settings
    keys = [*section.model_fields, *(["extends"] if len(path) == 1 else [])] if section else []
    where = f"in {dotted(path[:-1])}" if path[:-1] else "at the top level"
    key = str(path[-1])
    hint = nearest(key, keys) or suggest_place(path, tree, part_index)
    return f"unknown key {shorten(key)!r} {where}.{hint or f' Known: {listed(keys, 30)}.'}"


def _unknown_option(signature: Signature, path: KeyPath, tree: Node, part_index: PartIndex) -> str:
    option = str(path[-1])
    misplaced = [p for p in signature.misplaced_settings if p.name == option]
    if misplaced:
        return signature.misplaced_setting_text(misplaced[0])
    names = [p.name for p in accepted_options(signature)]
    hint = nearest(option, names) or suggest_place(path, tree, part_index)
    takes = f"; it takes {listed(names)}." if names else "; it takes no options."
    return f"{_called(signature)} takes no '{option}'{f'.{hint}' if hint else takes}"


def _called(signature: Signature) -> str:
    """Return the name of a part in messages: of a Keras part, its class."""
    return signature.name if signature.kind in FITX_KINDS else signature.title


def _unknown_part(
    path: KeyPath, part: dict[str, str], document: Document, part_index: PartIndex
) -> Problem:
    node = document.tree.at((*path, "name")) or document.tree.at(path)
    if node is None:
        node = document.tree
    if node.raw is not None:
        # A value from the environment may be a secret.
        return Problem(node.place, path, f"no part has the value of {node.raw} as its name.")
    text = _unknown_part_text(part["kind"], part["name"], part_index)
    return Problem(node.place, path, text)


def _unknown_part_text(kind: str, name: str, part_index: PartIndex) -> str:
    reason = keras_parts.refusal_reason(kind, name)
    if reason:
        return f"the {kind} '{name}' cannot be used in an experiment: {reason}."
    file_name = part_index.registered_as(kind, name)
    if file_name:
        return f"a part has the name of its file; write '{file_name}' instead of '{name}'."
    others = part_index.kinds_of(name)
    if others:
        return f"no {kind} is called '{name}'; that is {with_article(others[0])}."
    hint = nearest(name, part_index.spellings(kind))
    return f"no {kind} is called '{name}'.{hint or f' `fitx list {kind}` lists them.'}"


def _no_options(part: dict[str, str], part_index: PartIndex) -> str:
    kind, name = part["kind"], part["name"]
    if kind == "activation":
        return f"the activation '{name}' takes no options here; use a layer that takes them."
    word = "accuracy" if name.startswith("acc") else "crossentropy"
    names = [f"{prefix}_{word}" for prefix in ("binary", "categorical", "sparse_categorical")]
    present = [part_name for part_name in names if part_index.find(kind, part_name)]
    text = f"Keras chooses '{name}' by the shapes, so it takes no options; to set some, write "
    return f"{text}{listed(present[:-1])} or {present[-1]}."
