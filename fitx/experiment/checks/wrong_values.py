"""Problems of values that have the wrong type or are out of range: expected, found, and a hint."""

from __future__ import annotations

import re
from typing import Any

from fitx.experiment.problems import Problem, describe, nearest, shorten
from fitx.experiment.yaml import reader
from fitx.experiment.yaml.load import Document
from fitx.experiment.yaml.tree import KeyPath, Node

_LISTS = {"list_type", "tuple_type", "sequence_type", "sequence_str", "set_type", "frozen_set_type"}
_LISTS |= {"is_instance_of"}
_MAPPINGS = {"dict_type", "mapping_type", "model_type"}
_NUMBERS = {"int_type", "int_from_float", "float_type", "number_or_part"}
_LENGTHS = {"too_short", "too_long"}
_EXPECTED = {
    **dict.fromkeys(_LISTS, "a list"),
    **dict.fromkeys(_MAPPINGS, "a mapping"),
    **dict.fromkeys(("int_type", "int_from_float"), "an integer"),
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string",
    "none_required": "null",
    "finite_number": "a finite number",
    "missing": "more items",
}
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
_KEY_WITHOUT_SPACE = re.compile(r"[\w.-]+:\S")


def wrong_value(path: KeyPath, items: list[Any], document: Document) -> Problem:
    """Return the problem of a value, given pydantic's errors about it."""
    node = document.tree.at(path) or document.tree
    if isinstance(node.value, dict) and items[0]["type"] == "part_name":
        return _wrong_name(path, node, items[0], document)
    expected = " or ".join(dict.fromkeys(map(_expected, items)))
    types = {str(item["type"]) for item in items}
    found = str(len(node.as_python())) if types & _LENGTHS else _found(node)
    text = f"expected {expected}, found {found}"
    remedy = _remedy(node, types, expected)
    ending = f"; {remedy}." if remedy else f".{_nearest_choice(node, items)}"
    return Problem(document.value_place(path), path, text + ending)


def wrong_key_text(path: KeyPath, item: Any) -> str:
    """Return the text for a key that has the wrong type or is out of range."""
    return f"expected {_expected(item)} as the key, found {describe(str(path[-1]))}."


def _wrong_name(path: KeyPath, node: Node, item: Any, document: Document) -> Problem:
    """Return the problem of a part whose `name` is missing or is not a string."""
    name = node.at(("name",))
    if name is None:
        text = "'name' is missing; it names the part, and the other keys are its options."
        return Problem(document.value_place(path), path, text)
    remedy = _remedy(name, {"string_type"}, "")
    text = f"{item['msg']}, found {_found(name)}{f'; {remedy}' if remedy else ''}."
    return Problem(document.value_place((*path, "name")), (*path, "name"), text)


def _expected(item: Any) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    message = str(item["msg"]).removeprefix("expected ").removeprefix("Input should be ")
    return _EXPECTED.get(kind) or message


def _found(node: Node) -> str:
    """Describe a value as it is written, such as `012`; of a secret only its reference."""
    if node.raw is not None:
        return f"the value of {node.raw}"
    is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
    return shorten(node.text) if is_number and node.text else describe(node.as_python())


def _nearest_choice(node: Node, items: list[Any]) -> str:
    """Return the question for the choice nearest to a value, or nothing."""
    if not isinstance(node.value, str) or node.raw is not None:
        return ""
    choices = [str(item["ctx"]["expected"]) for item in items if item["type"] == "literal_error"]
    return nearest(node.value, re.findall("'([^']*)'", " ".join(choices)))


def _remedy(node: Node, types: set[str], expected: str) -> str:
    """Return how to write a value, where its text shows what was meant; else nothing."""
    value = node.value
    if value is None:
        return "give it a value or remove it"
    if isinstance(value, str) and not node.is_unquoted and _is_meant(value, types, expected):
        own_line = "write it without quotes, on a line of its own"
        return "remove the quotes" if node.raw is None else own_line
    if node.raw is not None:
        return ""
    if types & _LISTS:
        return _as_list(node)
    if types & _MAPPINGS and _KEY_WITHOUT_SPACE.match(str(value)):
        return "a space is missing after ':'"
    if "bool_type" in types and value in ("yes", "no", "on", "off"):
        return "write true or false"
    is_number = isinstance(value, int | float) and "string_type" in types
    return f'write "{node.text or describe(value)}" in quotes' if is_number else ""


def _is_meant(text: str, types: set[str], expected: str) -> bool:
    """Return whether text without its quotes would have an expected type."""
    try:
        value = reader.scalar(text)
    except ValueError:
        return False
    if isinstance(value, bool):
        return "bool_type" in types
    is_number = isinstance(value, int | float)
    return is_number and (bool(types & _NUMBERS) or str(value) == expected)


def _as_list(node: Node) -> str:
    value = node.value
    if isinstance(value, dict):
        name = value["name"].value if "name" in value else None
        return f"write [{{name: {shorten(name)}, ...}}]" if isinstance(name, str) else ""
    text = node.text or str(value)
    return f"write [{text}]" if not isinstance(value, list) and len(text) <= 60 else ""
