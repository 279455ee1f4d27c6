"""Fills in `${env:NAME}` and `${env:NAME:default}` in string values."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import replace

from fitx.experiment.problems import Problem, shorten
from fitx.experiment.yaml import reader
from fitx.experiment.yaml.tree import KeyPath, Node, Scalar
from fitx.external_settings import overridden_variables
from fitx.redaction import protect, publish

_REFERENCE = re.compile(r"\$\{(?:env:(?P<name>[A-Za-z_]\w*)(?::(?P<default>[^}]*))?)?")


def fill(root: Node) -> tuple[Node, list[Problem]]:
    """Return the tree with references filled in, and the problems of the others.

    A value that is only a reference without quotes may have any type: `${env:EPOCHS}` may be an
    integer. Messages never show the text of a variable, unless the file contains it as well.
    """
    publish(_file_texts(root))
    problems: list[Problem] = []
    return _filled(root, (), problems), problems


def _file_texts(root: Node) -> Iterator[str]:
    """Yield the keys and strings of the file, without references."""
    for path, node in root.walk():
        yield from map(str, path[-1:])
        if isinstance(node.value, str):
            yield _REFERENCE.sub("\0", node.value)


def _filled(node: Node, path: KeyPath, problems: list[Problem]) -> Node:
    value = node.value
    if isinstance(value, dict):
        return replace(node, value={k: _filled(n, (*path, k), problems) for k, n in value.items()})
    if isinstance(value, list):
        return replace(node, value=[_filled(n, (*path, i), problems) for i, n in enumerate(value)])
    if not isinstance(value, str) or "${" not in value:
        return node
    try:
        filled, text = _value(node, value)
        return replace(node, value=filled, raw=value, text=text)
    except ValueError as error:
        problems.append(Problem(node.place, path, str(error)))
        return node


def _value(node: Node, text: str) -> tuple[Scalar, str]:
    """Return the value of a string with references, and the text of the value.

    Raises:
        ValueError: A reference is malformed, or its variable is not set.
    """
    parts, end = [], 0
    for match in _REFERENCE.finditer(text):
        if match["name"] is None or text[match.end() : match.end() + 1] != "}":
            rest = shorten(text[match.start() :])
            raise ValueError(f"expected ${{env:NAME}} or ${{env:NAME:default}}, found '{rest}'.")
        parts += [text[end : match.start()], _variable(match["name"], match["default"])]
        end = match.end() + 1
    result = "".join([*parts, text[end:]])
    if reader.CONTROL.search(result):
        raise ValueError(f"the value of {text} contains a control character.")
    stands_alone = len(parts) == 2 and not parts[0] and end == len(text)
    if not (stands_alone and node.is_unquoted):
        return result, result
    try:
        value = reader.scalar(result)
    except ValueError as error:
        raise ValueError(f"the value of {text} is too long for an integer.") from error
    # No key takes infinity, and the hash of a commit, such as 12e4567, may be read as infinity.
    is_infinite = isinstance(value, float) and not math.isfinite(value)
    return result if is_infinite else value, result


def _variable(name: str, default: str | None) -> str:
    # fitx removes some variables from its environment; the experiment may still refer to them.
    value = os.environ.get(name, overridden_variables.get(name, default))
    if name in os.environ:
        protect(name, os.environ[name])
    if value is None:
        text = f"the environment variable {name} is not set; set it, or give a default: "
        raise ValueError(f"{text}${{env:{name}:default}}.")
    return value
