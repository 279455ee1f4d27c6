"""YAML text to a tree of values with places; strict where YAML is loose.

Numbers and booleans follow YAML 1.2: `1e-4` is a float, `no` and `2024-01-01` are strings,
`010` is ten. Anchors, aliases, tags, merge keys, duplicate keys and several documents are
refused, and so are control characters, nesting deeper than 64 levels and more than 10,000 values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import NoReturn

import yaml

from fitx.experiment.problems import ConfigError, Problem, shorten
from fitx.experiment.yaml import syntax
from fitx.experiment.yaml.tree import Node, Place, Scalar, TextSource

MAX_DEPTH = 64
MAX_DIGITS = 300
MAX_VALUES = 10_000

_ALLOWED = r"\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
CONTROL = re.compile(f"[^{_ALLOWED}]")
"""A character that no string of an experiment may hold."""

_READ_AHEAD = 4 * MAX_DEPTH
"""Levels that parsers take without complaint, whatever their version."""
_NESTING = re.compile(rf"[\[{{\]}}]|^[ ?:-]{{{_READ_AHEAD},}}", re.MULTILINE)
"""A bracket, or an indentation under which more levels than that may lie."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    "-.inf": float("-inf"),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def read(text: str, source: TextSource) -> Node:
    """Read one YAML document. Raises ConfigError with everything that is wrong with it."""
    _refuse_control_characters(text, source)
    shallow = _shallow(text)
    if shallow != text:
        _refuse_deep(shallow, source)
    composer = _Composer(source)
    try:
        root = composer.document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise ConfigError([*composer.problems, syntax.problem(error, source)]) from error
    if composer.problems:
        raise ConfigError(composer.problems)
    return root


def scalar(text: str) -> Scalar:
    """Read a plain scalar. Raises ValueError for an integer too long to be one."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            shown = shorten(text, 30)
            raise ValueError(f"the integer {shown} has {len(text)} digits; at most {MAX_DIGITS}.")
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _shallow(text: str) -> str:
    """Return the start of a text, up to where it may be nested deeper than parsers take.

    They read ahead, so some refuse hundreds of levels before they hand on the first. What stands
    in quotes and comments counts here as well, so more may be cut off than is nested.
    """
    depth = 0
    for found in _NESTING.finditer(text):
        if found[0][0] not in "[{]}":
            return text[: found.end()]
        depth = max(0, depth + (1 if found[0] in "[{" else -1))
        if depth > _READ_AHEAD:
            return text[: found.end()]
    return text


def _refuse_deep(start: str, source: TextSource) -> None:
    """Raise ConfigError if the start of a text is nested too deeply."""
    with suppress(yaml.MarkedYAMLError):
        _Composer(source).document(yaml.parse(start, Loader=_LOADER))


class _Composer:
    """Builds the tree from parser events; collects problems that need not end the reading."""

    def __init__(self, source: TextSource) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.count = 0

    def document(self, events: Iterator[yaml.Event]) -> Node:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._stop(event, "a second document starts here; one file holds one experiment.")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, 0)
        return root if root is not None else Node(None, Place(self.source))

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        self._refuse(event, depth)
        place = self._place(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place, events, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(list(self._items(events, depth)), place)
        is_unquoted = event.implicit[0]  # type: ignore[attr-defined]
        text: str = event.value  # type: ignore[attr-defined]
        self._refuse_control(event, text)
        try:
            value = scalar(text) if is_unquoted else text
            return Node(value, place, is_unquoted=is_unquoted, written=text)
        except ValueError as error:
            self.problems.append(Problem(place, (), str(error)))
            return Node(None, place)

    def _items(self, events: Iterator[yaml.Event], depth: int) -> Iterator[Node]:
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            yield self._node(event, events, depth + 1)

    def _mapping(self, place: Place, events: Iterator[yaml.Event], depth: int) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, depth)
            value = self._node(next(events), events, depth + 1)
            if key in keys:
                self._twice(key, keys[key], event)
            else:
                values[key], keys[key] = value, self._place(event)
        return Node(values, place, keys)

    def _twice(self, key: str, first: Place, event: yaml.Event) -> None:
        place = self._place(event)
        where = f"; first on line {first.line}" if first.line != place.line else ""
        text = f"the key '{shorten(key)}' stands twice{where}."
        self.problems.append(Problem(place, (), text))

    def _key(self, event: yaml.Event, depth: int) -> str:
        self._refuse(event, depth)
        if not isinstance(event, yaml.ScalarEvent):
            self._stop(event, "a key is a word, not a list or a mapping; put text in quotes.")
        if event.value == "<<":
            self._stop(event, "the merge key '<<' is not allowed; share settings with `extends:`.")
        self._refuse_control(event, event.value)
        return str(event.value)

    def _refuse_control(self, event: yaml.Event, text: str) -> None:
        found = CONTROL.search(text)
        if found:
            name = f"U+{ord(found[0]):04X}"
            self._stop(event, f"the character {name} may not stand in a string; remove it.")

    def _refuse(self, event: yaml.Event, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._stop(event, f"the alias '*{event.anchor}' is not allowed; write the value out.")
        if getattr(event, "anchor", None):
            name = event.anchor  # type: ignore[attr-defined]
            self._stop(event, f"the anchor '&{name}' is not allowed; write the value out.")
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")  # type: ignore[attr-defined]
            self._stop(event, f"the tag '{shorten(tag)}' is not allowed; write the value alone.")
        if depth > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels.")
        self.count += 1
        if self.count > MAX_VALUES:
            text = (
                f"a file holds at most {MAX_VALUES:,} keys and values; put data into a data file."
            )
            self._stop(event, text)

    def _stop(self, event: yaml.Event, text: str) -> NoReturn:
        raise ConfigError([*self.problems, Problem(self._place(event), (), text)])

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self.source, mark.line + 1, mark.column + 1) if mark else Place(self.source)


def _refuse_control_characters(text: str, source: TextSource) -> None:
    found = CONTROL.search(text)
    if found:
        before = text[: found.start()]
        place = Place(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problem = f"the character U+{ord(found[0]):04X} may not stand in YAML; remove it."
        raise ConfigError([Problem(place, (), problem)])
