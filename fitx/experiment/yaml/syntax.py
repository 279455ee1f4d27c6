"""What libyaml says of text that is not YAML, said in words that help to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import yaml

from fitx.experiment.problems import Problem
from fitx.experiment.yaml.tree import Place, TextSource

_KEY_WITHOUT_SPACE = re.compile(r"\s*(?:- +)*[\w.-]+:(?=[^\s:/])")
_WORD_WITHOUT_COLON = re.compile(r"\s*(?:- +)*[\w.-]+\s*(?:#.*)?")
_KEY = re.compile(r"\s*(?:- +)*[\w.'\"-]+\s*: ")


@dataclass(frozen=True)
class _Spot:
    """Where libyaml stumbled, and where what it was reading began; all count from 0."""

    source: TextSource
    line: int
    column: int
    start: tuple[int, int]

    def text(self, line: int) -> str:
        lines = self.source.lines
        return lines[line] if line < len(lines) else ""

    @property
    def character(self) -> str:
        return self.text(self.line)[self.column : self.column + 1]

    @property
    def before(self) -> str:
        return self.text(self.line)[: self.column]

    @property
    def opening(self) -> str:
        return self.text(self.start[0])[self.start[1] : self.start[1] + 1]

    @property
    def line_above(self) -> int:
        """Return the number of the nearest line above that says something."""
        said = (n for n in range(self.line - 1, -1, -1) if self.text(n).split("#")[0].strip())
        return next(said, 0)


Answer = tuple[tuple[int, int], str]


def problem(error: yaml.MarkedYAMLError, source: TextSource) -> Problem:
    """Return the problem that an error of the parser is, at the place where it is to be mended."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(Place(source), (), f"not YAML: {error.problem}.")
    begun = error.context_mark or mark
    spot = _at_text(_Spot(source, mark.line, mark.column, (begun.line, begun.column)))
    (line, column), text = _explained(spot, str(error.problem), error.context)
    return Problem(Place(source, line + 1, column + 1), (), text)


def _at_text(spot: _Spot) -> _Spot:
    """Return a spot beyond the last line that says something as the end of that line."""
    last = max((n for n, line in enumerate(spot.source.lines) if line.strip()), default=0)
    if spot.line <= last:
        return spot
    return _Spot(spot.source, last, len(spot.text(last)), spot.start)


def _explained(spot: _Spot, said: str, context: str | None) -> Answer:
    indent = spot.text(spot.line)[: len(spot.before) + 1]
    if "\t" in indent and not indent.strip():
        tab = indent.index("\t")
        return (spot.line, tab), "a tab indents this line; YAML takes spaces only."
    for words, answer in _ANSWERS.items():
        if words in said:
            return answer(spot)
    where = f" {context}" if context else ""
    return (spot.line, spot.column), f"not YAML: {said}{where}."


def _cannot_start(spot: _Spot) -> Answer:
    text = f"a value cannot start with '{spot.character}'; put it in quotes."
    return (spot.line, spot.column), text


def _second_colon(spot: _Spot) -> Answer:
    """Explain a ':' where no key can stand; most often the mistake is on the line above."""
    here, above = (spot.line, spot.column), spot.text(spot.line_above)
    if _KEY.match(spot.before):
        return here, "a second ': ' in one value; put the value in quotes."
    unspaced = _KEY_WITHOUT_SPACE.match(above)
    if unspaced:
        return (spot.line_above, unspaced.end()), "a space is missing after this ':'."
    if _WORD_WITHOUT_COLON.fullmatch(above):
        return _without_colon(spot, above)
    start = len(spot.before) - len(spot.before.lstrip())
    return (
        spot.line,
        start,
    ), "this line is indented deeper than the key above, which has a value."


def _apart(spot: _Spot) -> Answer:
    above = spot.text(spot.line_above)
    if _WORD_WITHOUT_COLON.fullmatch(above):
        return _without_colon(spot, above)
    return (spot.line, spot.column), "this is not part of what stands before it."


def _without_colon(spot: _Spot, above: str) -> Answer:
    column = len(above.split("#")[0].rstrip())
    return (spot.line_above, column), "a ':' is missing after this key."


def _unclosed(spot: _Spot) -> Answer:
    if spot.before.endswith("$") and spot.character == "{":
        text = "'${env:...}' needs quotes inside [ ] and { }; give a number a line of its own."
        return (spot.line, spot.column - 1), text
    if spot.line == spot.start[0] and spot.character:
        close = {"{": "}", "[": "]"}.get(spot.opening, spot.opening)
        return (spot.line, spot.column), f"expected ',' or '{close}' here."
    return spot.start, f"this '{spot.opening}' is not closed."


def _no_value(spot: _Spot) -> Answer:
    here = (spot.line, spot.column)
    if spot.character:
        return here, f"'{spot.character}' cannot stand here."
    opening = max(spot.before.rfind("["), spot.before.rfind("{"))
    if opening < 0:
        return here, "the text ends inside '[' or '{'; close it."
    return (spot.line, opening), f"this '{spot.before[opening]}' is not closed."


def _no_key(spot: _Spot) -> Answer:
    here = (spot.line, spot.column)
    if spot.before.strip():
        return (
            here,
            "the value has ended before this; put all of it in one pair of quotes.",
        )
    if spot.text(spot.line)[spot.column :].startswith("- "):
        return here, "a list item cannot stand here; indent it below its key."
    return here, "the indentation of this line fits no line above it."


def _escape(spot: _Spot) -> Answer:
    escape = spot.text(spot.line)[spot.column : spot.column + 2]
    text = f"'{escape}' is no escape; write '\\\\' for a backslash, or use single quotes."
    return (spot.line, spot.column), text


def _here(text: str) -> Callable[[_Spot], Answer]:
    return lambda spot: ((spot.line, spot.column), text)


def _start(text: str) -> Callable[[_Spot], Answer]:
    return lambda spot: (spot.start, text)


_ANSWERS: dict[str, Callable[[_Spot], Answer]] = {
    "found character that cannot start any token": _cannot_start,
    "mapping values are not allowed": _second_colon,
    "did not find expected ',' or": _unclosed,
    "did not find expected node content": _no_value,
    "did not find expected key": _no_key,
    "did not find expected '-' indicator": _here("expected '- ', as in the list above this line."),
    "did not find expected <document start>": _apart,
    "found unexpected end of stream": _start("this quote is not closed."),
    "could not find expected ':'": _start("a ':' is missing after this key."),
    "found unknown escape character": _escape,
    "invalid Unicode character escape": _here("this escape stands for no character."),
    "block sequence entries are not allowed": _here("a list item stands on a line of its own."),
}
"""What to say, by a part of what libyaml says."""
