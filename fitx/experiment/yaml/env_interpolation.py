"""`${env:NAME}` and `${env:NAME:default}` in string values, filled in."""

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
    """Return the tree with every reference filled in, and what is wrong with the others.

    A reference that stands alone and without quotes is read as the value it stands for would
    be: `${env:EPOCHS}` may be an integer. The text of the variable never enters a message, unless
    it is written in the file as well.
    """
    publish(_written(root))
    problems: list[Problem] = []
    return _filled(root, (), problems), problems


def _written(root: Node) -> Iterator[str]:
    """Yield every key and string as it is written."""
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
        return replace(node, value=filled, raw=value, written=text)
    except ValueError as error:
        problems.append(Problem(node.place, path, str(error)))
        return node


def _value(node: Node, text: str) -> tuple[Scalar, str]:
    """Return what a string stands for, and the text of that.

    Raises:
        ValueError: It cannot be told; says why.
    """
    parts, end = [], 0
    for match in _REFERENCE.finditer(text):
        if match["name"] is None or text[match.end() : match.end() + 1] != "}":
            found = shorten(text[match.start() :])
            raise ValueError(f"expected ${{env:NAME}} or ${{env:NAME:default}}, found '{found}'.")
        parts += [text[end : match.start()], _variable(match["name"], match["default"])]
        end = match.end() + 1
    result = "".join([*parts, text[end:]])
    if reader.CONTROL.search(result):
        raise ValueError(f"what {text} stands for holds a control character.")
    stands_alone = len(parts) == 2 and not parts[0] and end == len(text)
    if not (stands_alone and node.is_unquoted):
        return result, result
    try:
        value = reader.scalar(result)
    except ValueError as error:
        raise ValueError(f"what {text} stands for is too long for an integer.") from error
    # No key takes an infinite number; the name of a commit, such as 12e4567, may read as one.
    is_endless = isinstance(value, float) and not math.isfinite(value)
    return result if is_endless else value, result


def _variable(name: str, default: str | None) -> str:
    # What fitx took out of the environment, the experiment may ask for all the same.
    value = os.environ.get(name, overridden_variables.get(name, default))
    if name in os.environ:
        protect(name, os.environ[name])
    if value is None:
        text = f"the environment variable {name} is not set; set it, or write a default: "
        raise ValueError(f"{text}${{env:{name}:default}}.")
    return value
