"""YAML text to a tree of values with places; strict where YAML is loose.

Numbers and booleans follow YAML 1.2: `1e-4` is a float, `no` and `2024-01-01` are strings,
`010` is ten. Anchors, aliases, tags, merge keys, duplicate keys and several documents are
refused, and so is nesting deeper than 64 levels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NoReturn

import yaml

from fitx.experiment.problems import ConfigError, Problem, shorten
from fitx.experiment.tree import Node, Place, Scalar, Source

MAX_DEPTH = 64
MAX_DIGITS = 300

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf"), float("inf")),
    "-.inf": float("-inf"),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def read(text: str, source: Source) -> Node:
    """Read one YAML document. Raises ConfigError with everything that is wrong with it."""
    _refuse_control_characters(text, source)
    composer = _Composer(source)
    try:
        root = composer.document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise ConfigError([_syntax_problem(error, source)]) from error
    if composer.problems:
        raise ConfigError(composer.problems)
    return root


def scalar(text: str, place: Place) -> Scalar:
    """Read a plain scalar. Raises ConfigError for an integer too long to be one."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            problem = (
                f"the integer {shorten(text, 30)} has {len(text)} digits; at most {MAX_DIGITS}."
            )
            raise ConfigError([Problem(place, (), problem)])
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Composer:
    """Builds the tree from parser events; collects problems that need not end the reading."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []

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
        is_plain = event.implicit[0]  # type: ignore[attr-defined]
        text: str = event.value  # type: ignore[attr-defined]
        if not is_plain and any("\ud800" <= c <= "\udfff" for c in text):
            self._stop(event, "the string holds half a surrogate pair; write the character itself.")
        return Node(scalar(text, place) if is_plain else text, place, is_plain=is_plain)

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
                text = f"the key '{shorten(key)}' stands twice; first on line {keys[key].line}."
                self.problems.append(Problem(self._place(event), (), text))
            else:
                values[key], keys[key] = value, self._place(event)
        return Node(values, place, keys)

    def _key(self, event: yaml.Event, depth: int) -> str:
        self._refuse(event, depth)
        if not isinstance(event, yaml.ScalarEvent):
            self._stop(event, "a key must be a plain word, not a list or a mapping.")
        if event.value == "<<":
            self._stop(event, "the merge key '<<' is not allowed; share settings with `extends:`.")
        return str(event.value)

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

    def _stop(self, event: yaml.Event, text: str) -> NoReturn:
        raise ConfigError([*self.problems, Problem(self._place(event), (), text)])

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self.source, mark.line + 1, mark.column + 1) if mark else Place(self.source)


def _refuse_control_characters(text: str, source: Source) -> None:
    found = _CONTROL.search(text)
    if found:
        before = text[: found.start()]
        place = Place(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problem = f"the character U+{ord(found[0]):04X} may not stand in YAML; remove it."
        raise ConfigError([Problem(place, (), problem)])


def _syntax_problem(error: yaml.MarkedYAMLError, source: Source) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(Place(source), (), f"not YAML: {error.problem}.")
    place = Place(source, mark.line + 1, mark.column + 1)
    line = source.lines[mark.line] if mark.line < len(source.lines) else ""
    if "\t" in line[: mark.column + 1]:
        return Problem(place, (), "a tab indents this line; YAML takes spaces only.")
    context = f" {error.context}" if error.context else ""
    return Problem(place, (), f"not YAML: {error.problem}{context}.")
