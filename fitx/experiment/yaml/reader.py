"""Reads YAML into a tree of values with their places; stricter than YAML.

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
from fitx.experiment.yaml.tree import Node, Place, Scalar, TextSource

MAX_DEPTH = 64
MAX_DIGITS = 300
MAX_VALUES = 10_000

_ALLOWED = r"\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"
CONTROL = re.compile(f"[^{_ALLOWED}]")
"""A character that an experiment file may not contain."""

_READ_AHEAD = 4 * MAX_DEPTH
"""Levels of nesting that every version of libyaml accepts."""
_NESTING = re.compile(rf"[\[{{\]}}]|^[ ?:-]{{{_READ_AHEAD},}}", re.MULTILINE)
"""A bracket, or an indentation that may hold more levels than `_READ_AHEAD`."""

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
    """Read one YAML document.

    Raises:
        ConfigError: With all problems of the text.
    """
    _refuse_control_characters(text, source)
    shallow = _shallow(text)
    if shallow != text:
        _refuse_deep(shallow, source)
    composer = _Composer(source)
    try:
        root = composer.document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        raise ConfigError([*composer.problems, _syntax_problem(error, source)]) from error
    if composer.problems:
        raise ConfigError(composer.problems)
    return root


def scalar(text: str) -> Scalar:
    """Return the value of an unquoted scalar.

    Raises:
        ValueError: It is an integer of more than `MAX_DIGITS` digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        if len(text) > MAX_DIGITS:
            shown = shorten(text, 30)
            raise ValueError(f"the integer {shown} has {len(text)} digits; at most {MAX_DIGITS}.")
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _shallow(text: str) -> str:
    """Return the start of a text, up to where it may be nested deeper than libyaml accepts.

    libyaml reads ahead: some versions refuse hundreds of levels before they report the first event.
    Brackets in quotes and comments are counted too, so the start may be too short.
    """
    depth = 0
    for match in _NESTING.finditer(text):
        if match[0][0] not in "[{]}":
            return text[: match.end()]
        depth = max(0, depth + (1 if match[0] in "[{" else -1))
        if depth > _READ_AHEAD:
            return text[: match.end()]
    return text


def _refuse_deep(start: str, source: TextSource) -> None:
    """Raise ConfigError if the start of a text exceeds `MAX_DEPTH`."""
    with suppress(yaml.MarkedYAMLError):
        _Composer(source).document(yaml.parse(start, Loader=_LOADER))


class _Composer:
    """Builds the tree from parser events, and collects the problems after which it can go on."""

    def __init__(self, source: TextSource) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.count = 0

    def document(self, events: Iterator[yaml.Event]) -> Node:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._stop(event, "a second document starts here; a file holds one experiment.")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, 0)
        return root if root is not None else Node(None, Place(self.source))

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        self._check(event, depth)
        place = self._place(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place, events, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(list(self._items(events, depth)), place)
        is_unquoted = event.implicit[0]  # type: ignore[attr-defined]
        text: str = event.value  # type: ignore[attr-defined]
        self._check_characters(event, text)
        try:
            value = scalar(text) if is_unquoted else text
            return Node(value, place, is_unquoted=is_unquoted, text=text)
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
                self._report_duplicate(key, keys[key], event)
            else:
                values[key], keys[key] = value, self._place(event)
        return Node(values, place, keys)

    def _report_duplicate(self, key: str, first: Place, event: yaml.Event) -> None:
        place = self._place(event)
        where = f", first on line {first.line}" if first.line != place.line else ""
        text = f"the key '{shorten(key)}' is given twice{where}; remove one."
        self.problems.append(Problem(place, (), text))

    def _key(self, event: yaml.Event, depth: int) -> str:
        self._check(event, depth)
        if not isinstance(event, yaml.ScalarEvent):
            text = "expected text as the key, found a list or a mapping; put text in quotes."
            self._stop(event, text)
        if event.value == "<<":
            self._stop(event, "the merge key '<<' is not allowed; share settings with `extends:`.")
        self._check_characters(event, event.value)
        return str(event.value)

    def _check_characters(self, event: yaml.Event, text: str) -> None:
        match = CONTROL.search(text)
        if match:
            name = f"U+{ord(match[0]):04X}"
            self._stop(event, f"the character {name} is not allowed in a string; remove it.")

    def _check(self, event: yaml.Event, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._stop(event, f"the alias '*{event.anchor}' is not allowed; write the value out.")
        if getattr(event, "anchor", None):
            name = event.anchor  # type: ignore[attr-defined]
            self._stop(event, f"the anchor '&{name}' is not allowed; write the value out.")
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")  # type: ignore[attr-defined]
            text = f"the tag '{shorten(tag)}' is not allowed; write the value without it."
            self._stop(event, text)
        if depth > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels.")
        self.count += 1
        if self.count > MAX_VALUES:
            most = f"{MAX_VALUES:,} keys and values"
            self._stop(event, f"a file holds at most {most}; put data into a data file.")

    def _stop(self, event: yaml.Event, text: str) -> NoReturn:
        raise ConfigError([*self.problems, Problem(self._place(event), (), text)])

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self.source, mark.line + 1, mark.column + 1) if mark else Place(self.source)


def _refuse_control_characters(text: str, source: TextSource) -> None:
    match = CONTROL.search(text)
    if match:
        before = text[: match.start()]
        place = Place(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problem = f"the character U+{ord(match[0]):04X} is not allowed in YAML; remove it."
        raise ConfigError([Problem(place, (), problem)])


def _syntax_problem(error: yaml.MarkedYAMLError, source: TextSource) -> Problem:
    """Return libyaml's own description of an error, with a hint for the most common mistakes."""
    context = f" {error.context}" if error.context and "next token" not in error.context else ""
    text = f"not YAML: {error.problem}{context}"
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(Place(source), (), f"{text}.")
    line, column = mark.line, mark.column
    shown = source.lines[line] if line < len(source.lines) else ""
    indent = shown[: len(shown) - len(shown.lstrip())]
    if "\t" in indent:
        text = "a tab indents this line; indent with spaces."
        return Problem(Place(source, line + 1, indent.index("\t") + 1), (), text)
    start = error.context_mark
    rest = "".join(source.lines[line:])
    if start and start.line < min(line, len(source.lines)) and _ENCLOSED.search(str(error.context)):
        # libyaml finds the mistake on a later line; most often it is where this begins.
        line, column = start.line, start.column
        opening = source.lines[line][column : column + 1]
        text += f"; {opening!r} is not closed" if opening in ("[", "{", "'", '"') else ""
    elif not rest.strip() and "flow" in text:
        line = max(n for n, each in enumerate(source.lines) if each.strip())
        column = len(source.lines[line])
        text += "; the text ends within [ ] or { }"
    elif shown[column - 1 : column + 1] == "${":
        text += "; inside [ ] and { } put '${env:...}' in quotes"
    else:
        text += next((hint for words, hint in _HINTS.items() if words in text), "")
    return Problem(Place(source, line + 1, column + 1), (), f"{text}.")


_ENCLOSED = re.compile("flow|quoted scalar|simple key")
_HINTS = {
    "mapping values are not allowed": "; put a value with ': ' in quotes, and check the line above",
    "cannot start any token": "; put the value in quotes",
}
