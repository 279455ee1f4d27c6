"""Replaces values of environment variables by `${env:NAME}` in everything that fitx writes.

A value may be a password, a token or an address that contains them. It appears in messages and
files in many forms: as a path without double slashes, quoted with escapes, percent-encoded, split,
or only a part of it. So pieces of a value are replaced, not only the whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias

from fitx.redaction.forms import COMMON, LEAST, PIECE, forms, variants, words

_Span: TypeAlias = tuple[int, int, str]
"""Start and end of a hidden part of a text, and its replacement."""


@dataclass(frozen=True)
class _Hidden:
    """The search patterns of one variable.

    Args:
        reference: The replacement.
        whole: The value in every form, the longest first.
        pieces: All substrings of `PIECE` characters of every form.
        words: Short parts that are hidden as separate words; None if there are none.
    """

    reference: str
    whole: tuple[str, ...]
    pieces: frozenset[str]
    words: re.Pattern[str] | None


_values: dict[str, str] = {}
"""The reference of each value."""

_public: set[str] = set()
_folders: set[str] = set()
_compiled: list[_Hidden] = []


def protect(name: str, value: str) -> None:
    """Hide the value of an environment variable from now on."""
    if len(value) > LEAST:
        _values.setdefault(value, f"${{env:{name}}}")
        _compiled.clear()


def publish(texts: Iterable[str]) -> None:
    """Allow texts and all their parts, even if a variable holds them too."""
    _public.update(texts)


def publish_folder(folder: str) -> None:
    """Allow the absolute path of a folder, even if the value of a variable begins with it."""
    _folders.add(folder.rstrip(os.sep))
    _compiled.clear()


def forget() -> None:
    """Reset to the state before any value was protected, for another command."""
    for cache in (_values, _public, _folders, _compiled):
        cache.clear()


def redact(text: str) -> str:
    """Return a text with each piece of a value replaced by `${env:NAME}`.

    A piece is a substring of `PIECE` characters of any form, or a short part as a separate word:
    a user name or password of an address, or a part that mixes letters and other characters.
    """
    if not _values:
        return text
    found = (search(text, hidden) for search in (_exact, _parts) for hidden in _hidden())
    # If both cover the same text, a whole value comes before a piece of another.
    spans = sorted(chain.from_iterable(found), key=lambda span: (span[0], -span[1]))
    shown, end = "", 0
    for start, stop, reference in _joined(spans):
        shown, end = f"{shown}{text[end:start]}{reference}", stop
    return shown + text[end:]


def redact_all(value: Any) -> Any:
    """Return a JSON value with every string in it redacted, including keys."""
    if not _values:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(key): redact_all(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redact_all(item) for item in value]
    return value


def _hidden() -> list[_Hidden]:
    if not _compiled:
        folders = {*_folders, *_surroundings()}
        compiled = (_compile(value, reference, folders) for value, reference in _values.items())
        _compiled[:] = [hidden for hidden in compiled if hidden is not None]
    return _compiled


def _surroundings() -> Iterator[str]:
    """Yield the folders that messages show anyway: the working folder and the home folder."""
    yield os.path.expanduser("~").rstrip(os.sep)
    with suppress(OSError):
        yield os.getcwd()


def _compile(value: str, reference: str, folders: set[str]) -> _Hidden | None:
    """Return the search patterns of a value; None for a folder that messages show anyway."""
    as_folder = os.path.join(value, "")
    if any(f"{folder}/".startswith(as_folder) for folder in folders):
        return None
    spellings = variants(value)
    tails = {_tail(variant, folders) for variant in spellings}
    whole = {form for variant in spellings for form in forms(variant) if len(form) >= PIECE}
    pieces = {
        form[start : start + PIECE]
        for form in {form for tail in tails for form in forms(tail)}
        for start in range(len(form) - PIECE + 1)
    }
    alone = {form for word in words(value, tails) for form in forms(word)}
    return _Hidden(
        reference,
        tuple(sorted(whole, key=len, reverse=True)),
        frozenset(pieces),
        _alone(alone) if alone else None,
    )


def _tail(text: str, folders: set[str]) -> str:
    """Return a path without the part that it shares with an allowed folder."""
    common = (os.path.commonprefix([text, f"{folder}/"]) for folder in folders)
    return text[max((one.rfind("/") for one in common if one), default=0) :]


def _alone(texts: set[str]) -> re.Pattern[str]:
    """Return a pattern for texts that are not part of a longer word or of a number."""
    longest_first = "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
    return re.compile(rf"(?<!\w)(?<!\d[.,])(?:{longest_first})(?!\w)(?![.,]\d)")


def _exact(text: str, hidden: _Hidden) -> Iterator[_Span]:
    """Yield the places of a whole value in a text, in any form."""
    for form in hidden.whole:
        start = text.find(form)
        while start >= 0:
            if not _is_public(form):
                yield start, start + len(form), hidden.reference
            start = text.find(form, start + len(form))


def _parts(text: str, hidden: _Hidden) -> Iterator[_Span]:
    """Yield the places of parts of a value that are to be hidden in a text."""
    for start, stop in _covered(text, hidden.pieces):
        if _is_revealing(text, start, stop):
            yield start, stop, hidden.reference
    for match in hidden.words.finditer(text) if hidden.words else ():
        if not _is_public(match[0]):
            yield *match.span(), hidden.reference


def _joined(spans: list[_Span]) -> Iterator[_Span]:
    """Yield the union of overlapping spans, with the reference of the longest."""
    while spans:
        start, stop, reference = spans.pop(0)
        longest = stop - start
        while spans and (spans[0][0] < stop or spans[0][::2] == (stop, reference)):
            next_start, next_stop, other = spans.pop(0)
            if next_stop - next_start > longest:
                longest, reference = next_stop - next_start, other
            stop = max(stop, next_stop)
        yield start, stop, reference


def _covered(text: str, pieces: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Yield start and end of the parts of a text that pieces of a value cover."""
    start, stop = 0, -1
    for at in range(len(text) - PIECE + 1):
        if text[at : at + PIECE] in pieces:
            if at > stop >= 0:
                yield start, stop
            start = at if at > stop else start
            stop = at + PIECE
    if stop >= 0:
        yield start, stop


def _is_revealing(text: str, start: int, stop: int) -> bool:
    """Return whether a piece is more than a common word or a part of a word."""
    if _is_public(text[start:stop]):
        return False
    word = re.search(r"\w(?:.*\w)?", text[start:stop], re.DOTALL)
    if word is None:
        return False
    if not word[0].isalpha():
        return True
    around = text[max(0, start + word.start() - 1) : start + word.end() + 1]
    is_alone = re.fullmatch(rf"\W?{re.escape(word[0])}\W?", around) is not None
    return is_alone and word[0].lower() not in COMMON


def _is_public(text: str) -> bool:
    return any(text in public for public in _public)
