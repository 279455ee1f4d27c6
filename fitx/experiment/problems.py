"""Problems of an experiment with their places, and the error that reports them all."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from fitx.errors import FitxError
from fitx.experiment.yaml.tree import KeyPath, Place, Scalar, dotted

Findings: TypeAlias = Iterator[tuple[KeyPath, str]]
"""The path of a key and the text of its problem, for each problem that a check finds."""

WIDTH = 100
"""Characters of a source line that are shown under a problem."""

MOST = 100
"""Problems that one error shows."""


@dataclass(frozen=True)
class Problem:
    """One problem of an experiment.

    Args:
        place: The place in the file, or the word of the command line.
        path: The path of the key; empty for a problem of the file as a whole.
        text: The message.
        detail: Lines to show below the message, such as the traceback of a plugin.
    """

    place: Place
    path: KeyPath
    text: str
    detail: str = ""

    def __str__(self) -> str:
        key = f"{dotted(self.path)}: " if self.path else ""
        return f"{self.place}: {key}{self.text}"

    def to_json(self) -> dict[str, Any]:
        """Return the problem as an object of JSON."""
        return {
            "file": self.place.source.name,
            "line": self.place.line or None,
            "column": self.place.column or None,
            "key": dotted(self.path),
            "text": self.text,
        }


class ConfigError(FitxError):
    """An experiment file has problems; reports all of them."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem], hint: str = "") -> None:
        self.problems = sorted(set(problems), key=_order)
        self.hint = hint
        super().__init__(self._text())

    def _text(self) -> str:
        count = len(self.problems)
        closing = [] if count == 1 and not self.hint else [f"{count} problem{'s' * (count > 1)}."]
        if self.hint:
            closing[-1] += f" {self.hint}"
        shown = [
            "\n".join([str(p), *_excerpt(p.place), *p.detail.splitlines()])
            for p in self.problems[:MOST]
        ]
        if count > MOST:
            shown.append(f"... and {count - MOST:,} more.")
        return "\n".join([*shown, *closing])


def nearest(word: str, candidates: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` with the candidate nearest to a word, or nothing."""
    close = closest(word, candidates)
    return f" Did you mean '{close}'?" if close else ""


def closest(word: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the candidate nearest to a word: one it abbreviates, or one that is similar.

    `sparse_acc` is nearest to `sparse_categorical_accuracy`, `lr` to `learning_rate`.
    """
    names = {name.lower(): name for name in candidates}
    word = word.lower()
    longer = [name for name in names if "_" in word and _abbreviates(word, name)]
    spelled_out = [name for name in names if len(word) > 1 and word == _initials(name)]
    ranked = [*sorted(longer, key=len), *spelled_out, *_similar(word, names, cutoff)]
    return names[ranked[0]] if ranked else None


def listed(words: Sequence[str], most: int = 12) -> str:
    """Return words as an enumeration in a sentence, of at most `most` words."""
    shown = ", ".join(words[:most])
    return f"{shown} and {len(words) - most} more" if len(words) > most else shown


def describe(value: Scalar | dict[Any, Any] | list[Any]) -> str:
    """Return the description of a value in a message, such as `the string 'ten'` or `a list`."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the string {shorten(value)!r}"
    return shorten(str(value))


def shorten(text: str, most: int = 60) -> str:
    """Return text with its middle left out if it is longer than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 15]}...{text[-12:]}"


def _abbreviates(word: str, name: str) -> bool:
    """Return whether every part of a word is the start of a part of a name, or similar to one."""
    parts = name.split("_")
    return all(
        any(part.startswith(start) for part in parts)
        or difflib.get_close_matches(start, parts, n=1, cutoff=0.8)
        for start in word.split("_")
    )


def _similar(word: str, names: Iterable[str], cutoff: float) -> list[str]:
    """Return the names similar to a word, the most similar first; of equals, one as long."""

    def similarity(name: str) -> tuple[float, int]:
        ratio = difflib.SequenceMatcher(None, name, word).ratio()
        return ratio, -abs(len(name) - len(word))

    matches = difflib.get_close_matches(word, list(names), n=12, cutoff=cutoff)
    return sorted(matches, key=similarity, reverse=True)


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.split("_"))


def _order(problem: Problem) -> tuple[bool, str, int, int, str, str]:
    place = problem.place
    key = dotted(problem.path)
    return (not place.line, place.source.name, place.line, place.column, key, problem.text)


def _excerpt(place: Place) -> list[str]:
    """Return the source line of a place, and a caret under its column."""
    if not 0 < place.line <= len(place.source.lines):
        return []
    line = place.source.lines[place.line - 1]
    start = max(0, place.column - 1 - WIDTH // 2) if len(line) > WIDTH else 0
    shown = "".join(c if c.isprintable() else " " for c in line[start : start + WIDTH])
    number = f"{place.line:>5} | "
    before = shown[: place.column - 1 - start].ljust(place.column - 1 - start)
    return [f"{number}{shown.rstrip()}", " " * (len(number) + _columns(before)) + "^"]


def _columns(text: str) -> int:
    """Return the number of columns of a text in a terminal; a wide character takes two."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(bool(unicodedata.combining(c)) for c in text)
