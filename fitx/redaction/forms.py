"""The forms in which a value, or a part of it, appears in a text."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import chain
from urllib.parse import quote, quote_plus, unquote

PIECE = 8
"""The length of a piece of a value; shorter ones appear in any text by chance."""

LEAST = 3
"""The shortest user name or password of an address that is hidden."""

LONGEST = 1000
"""The longest value that is parsed as an address; of longer ones only pieces are hidden."""

_MESSAGES = """
argument arguments available batches callback callbacks checkpoint checkpoints classes columns
command compiled component config configs configuration data dataset datasets default device devices
directories directory download downloads epochs examples execution existing expected experiment
experiments features false file files finished folder host http https images interrupted json keras
labels learning level localhost loss machine metrics missing model models name networks none null
number numbers optimizer optimizers option options path plugin plugins process processed projects
python random records release resources results root runs running samples shuffle source splits
state step steps storage tensorflow test training true unknown user users validation value values
variable variables version weights worker workers
"""
COMMON = frozenset(_MESSAGES.split())
"""Words of messages, which are shown even if they are a part of a value."""


def variants(value: str) -> set[str]:
    """Return a value as paths, addresses and libraries change it."""
    single = re.sub("/+", "/", value)
    return {value, single, os.path.normpath(value), value.lower(), unquote(value)}


def forms(text: str) -> set[str]:
    """Return a text as it is quoted in Python, JSON and C, and encoded in addresses."""
    escaped = {text, repr(text)[1:-1], json.dumps(text)[1:-1]}
    nested = {form for one in escaped for form in (repr(one)[1:-1], json.dumps(one)[1:-1])}
    content = text.encode("utf-8", "surrogateescape" if _is_undecoded(text) else "surrogatepass")
    return {
        *escaped,
        *nested,
        json.dumps(text, ensure_ascii=False)[1:-1],
        text.encode("ascii", "backslashreplace").decode(),
        text.encode("unicode_escape").decode(),
        repr(content)[2:-1],
        "".join(chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}" for byte in content),
        quote(content),
        quote(content, safe=""),
        quote_plus(content),
    }


def _is_undecoded(text: str) -> bool:
    """Return whether a text holds bytes that are not UTF-8, as Python stores them."""
    return any("\udc80" <= character <= "\udcff" for character in text)


def words(value: str, tails: set[str]) -> Iterator[str]:
    """Yield the short parts of a value that are hidden as separate words."""
    if len(value) > LONGEST:
        return
    before, sign, _ = re.sub(r"^[\w.+-]+://", "", value).rpartition("@")
    query_values = re.findall(r"(?:^|[?&#;,\s])[^=&#;,\s]+=([^&#;,\s]+)", value)
    for part in (*(before.split(":", 1) if sign else ()), *query_values):
        for text in {part, unquote(part)}:
            if len(text) >= LEAST and text.lower() not in COMMON:
                yield text
    for part in chain.from_iterable(re.split(r"[/\\:@?&=#;,\s'\"]+", tail) for tail in tails):
        is_mixed = not part.isalpha() and any(map(str.isalpha, part))
        if LEAST < len(part) < PIECE and is_mixed:
            yield part
