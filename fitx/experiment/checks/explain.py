"""pydantic's errors, said in the words of the experiment file."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from fitx.experiment.checks.key_suggestions import home
from fitx.experiment.problems import Problem, describe, listed, nearest, shorten
from fitx.experiment.schema import SECTIONS, Settings
from fitx.experiment.yaml import reader
from fitx.experiment.yaml.load import Document
from fitx.experiment.yaml.tree import KeyPath, Node, Place, dotted
from fitx.registry.part_index import PartIndex

_LISTS = ("list_type", "tuple_type", "sequence_type", "sequence_str", "set_type", "frozen_set_type")
_NUMBERS = ("int_type", "int_from_float", "float_type", "number_or_part")
_EXPECTED = {
    **dict.fromkeys((*_LISTS, "is_instance_of"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type"), "a mapping"),
    **dict.fromkeys(("int_type", "int_from_float"), "an integer"),
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string",
    "none_required": "null",
    "finite_number": "a finite number",
    "missing": "more items",
}
_UNSPACED = re.compile(r"[\w.-]+:\S")
_BOUNDS = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
}
_SAID = ("unknown_option", "missing_option", "unknown_part", "refused", "unread_part")
"""Errors that say of themselves what is wrong, most telling first."""


def explain(error: ValidationError, document: Document, part_index: PartIndex) -> list[Problem]:
    """Return a problem for every key that an error is about, with the place it is written.

    The text of one that only follows from another, known problem is empty.
    """
    by_path: dict[KeyPath, list[Any]] = {}
    for item in error.errors():
        by_path.setdefault(_written_path(item, document.tree), []).append(item)
    # Of the ways in which a value could be meant, the one that fits it deepest tells most.
    outer = {path[:length] for path in by_path for length in range(len(path))}
    return [
        _problem(path, items, document, part_index)
        for path, items in by_path.items()
        if path not in outer
    ]


def text_of_environment(error: ValidationError, tree: Node) -> Node:
    """Return the tree with text for each `${env:...}` that reads as a number where text belongs.

    Some commits' names are made of digits alone.
    """
    for item in error.errors():
        path = _written_path(item, tree)
        node = tree.at(path)
        if item["type"] in ("string_type", "path_type") and node is not None and _is_number(node):
            tree = tree.with_node(path, replace(node, value=node.written))
    return tree


def _is_number(node: Node) -> bool:
    """Whether a value came from the environment and was read as something else than text."""
    return node.raw is not None and node.written is not None and not isinstance(node.value, str)


def _written_path(item: Any, tree: Node) -> KeyPath:
    """Return the part of pydantic's location that is a path of the file."""
    location: KeyPath = tuple(item["loc"])
    ends = item["type"] == "missing_option"
    path: KeyPath = ()
    for step in location[: len(location) - ends]:
        if tree.at((*path, step)) is not None:
            path = (*path, step)
    return (*path, location[-1]) if ends else path


def _problem(path: KeyPath, items: list[Any], document: Document, part_index: PartIndex) -> Problem:
    kinds = {item["type"]: item for item in reversed(items)}
    if "extra_forbidden" in kinds:
        text = _unknown_key(path, document.tree, part_index)
        return Problem(document.place(path), path, text)
    if items[0]["loc"][-1] == "[key]":
        text = f"expected {_expected(items[0])} as the key, found {describe(str(path[-1]))}."
        return Problem(document.place(path), path, text)
    said = next((kinds[kind] for kind in _SAID if kind in kinds), None)
    if said is not None:
        return _said(path, said, document, part_index)
    return _wrong_value(path, items, document)


def _said(path: KeyPath, item: Any, document: Document, part_index: PartIndex) -> Problem:
    text = str(item["msg"])
    if item["type"] == "unknown_part":
        place, raw = _name_of(path, document)
        hidden = f"nothing is called what {raw} stands for."
        return Problem(place, path, text if raw is None else hidden)
    if item["type"] == "unknown_option" and "Did you mean" not in text:
        belongs = home(path, document.tree, part_index)
        text = f"{text.partition(';')[0]}.{belongs}" if belongs else text
    return Problem(document.place(path), path, text)


def _name_of(path: KeyPath, document: Document) -> tuple[Place, str | None]:
    """Return where the name of a part stands, and the reference it came from, if from one."""
    node = document.tree.at((*path, "name")) or document.tree.at(path)
    return (node.place, node.raw) if node is not None else (document.place(path), None)


def _unknown_key(path: KeyPath, tree: Node, part_index: PartIndex) -> str:
    section = SECTIONS.get(str(path[0])) if len(path) > 1 else Settings
    known = [*section.model_fields, *(["extends"] if len(path) == 1 else [])] if section else []
    where = f"in {dotted(path[:-1])}" if path[:-1] else "at the top level"
    key = str(path[-1])
    hint = nearest(key, known) or home(path, tree, part_index) or f" Known: {listed(known, 20)}."
    return f"unknown key {shorten(key)!r} {where}.{hint}"


def _wrong_value(path: KeyPath, items: list[Any], document: Document) -> Problem:
    node = document.tree.at(path) or document.tree
    if isinstance(node.value, dict) and items[0]["type"] == "part_name":
        return _wrong_name(path, node, items[0], document)
    expected = " or ".join(dict.fromkeys(map(_expected, items)))
    kinds = {str(item["type"]) for item in items}
    hint = _hint(node, kinds, expected)
    ending = hint or _nearest_word(node, items)
    counts = kinds & {"too_short", "too_long"}
    text = f"expected {expected}, found {_counted(node) if counts else _found(node)}"
    text = f"{text}.{ending}" if ending.startswith(" ") else f"{text}{ending}."
    return Problem(document.value_place(path), path, text)


def _nearest_word(node: Node, items: list[Any]) -> str:
    """Return a question for the nearest of the words that were expected, or nothing."""
    if not isinstance(node.value, str) or node.raw is not None:
        return ""
    choices = [str(item["ctx"]["expected"]) for item in items if item["type"] == "literal_error"]
    return nearest(node.value, re.findall("'([^']*)'", " ".join(choices)))


def _wrong_name(path: KeyPath, node: Node, item: Any, document: Document) -> Problem:
    """Explain a part whose `name` is missing or is no string."""
    name = node.at(("name",))
    if name is None:
        text = "'name' is missing; it says which part is meant, the other keys are its options."
        return Problem(document.value_place(path), path, text)
    path = (*path, "name")
    hint = _hint(name, {"string_type"}, "")
    text = f"{item['msg']}, found {_found(name)}{hint}."
    return Problem(document.value_place(path), path, text)


def _expected(item: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    said = str(item["msg"]).removeprefix("expected ").removeprefix("Input should be ")
    return _EXPECTED.get(kind) or said


def _found(node: Node) -> str:
    """Name a value; one that came from the environment by its reference: it may be a secret."""
    return _written(node) if node.raw is None else f"what {node.raw} stands for"


def _written(node: Node) -> str:
    """Describe a value; a number as it was written, such as `012` or `1e3`."""
    is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
    return shorten(node.written) if is_number and node.written else describe(node.as_python())


def _counted(node: Node) -> str:
    return str(len(node.as_python()))


def _hint(node: Node, kinds: set[str], expected: str) -> str:
    """Say how a value is to be written, where its text shows what was meant."""
    value = node.value
    if value is None:
        return "; give it a value or remove it"
    if isinstance(value, str) and not node.is_unquoted and _is_meant(value, kinds, expected):
        on_its_own = "; write it without quotes, on a line of its own"
        return "; remove the quotes" if node.raw is None else on_its_own
    if node.raw is not None:
        return ""
    if kinds & {*_LISTS, "is_instance_of"}:
        return _as_list(node)
    if kinds & {"dict_type", "mapping_type", "model_type"} and _UNSPACED.match(str(value)):
        return "; a space is missing after ':'"
    if "bool_type" in kinds and value in ("yes", "no", "on", "off"):
        return "; write true or false"
    is_unquoted = isinstance(value, int | float) and "string_type" in kinds
    return f'; write "{node.written or describe(value)}" in quotes' if is_unquoted else ""


def _is_meant(text: str, kinds: set[str], expected: str) -> bool:
    """Whether text without its quotes would be of an expected type."""
    try:
        value = reader.scalar(text)
    except ValueError:
        return False
    if isinstance(value, bool):
        return "bool_type" in kinds
    return isinstance(value, int | float) and bool(kinds & {*_NUMBERS} or str(value) == expected)


def _as_list(node: Node) -> str:
    value = node.value
    if isinstance(value, dict):
        name = value["name"].value if "name" in value else None
        is_part = isinstance(name, str)
        return f"; write [{{name: {shorten(str(name))}, ...}}]" if is_part else ""
    text = node.written or str(value)
    return f"; write [{text}]" if not isinstance(value, list) and len(text) <= 60 else ""
