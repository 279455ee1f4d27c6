"""Standard output and standard error: all that a command writes goes through here.

Names of files, docstrings, values and the messages of libraries may hold any character. What could
move a cursor, change a colour or turn the direction of writing is written as an escape. Values of
environment variables that an experiment asks for are redacted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TextIO

import click

from fitx.json_text import json_ready
from fitx.redaction import redact, redact_all


def visible(text: str) -> str:
    """Return a text, redacted, whose control characters but for ends of lines are escapes."""
    shown = (
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode()
        for c in redact(text).expandtabs()
    )
    return "".join(shown)


def one_line(text: str) -> str:
    """Return a text as `visible` does, on one line: ends of lines are spaces."""
    return visible("".join(" " if c.isspace() else c for c in redact(text)))


def write_text(text: str, output: TextIO | None = None) -> None:
    """Write a text of several lines to standard output, or to what took its place."""
    click.echo(visible(text), file=output)


def write_lines(lines: Iterable[str], output: TextIO | None = None) -> None:
    """Write lines as `write_text` does; an end of a line within one is an escape."""
    write_text("\n".join(line.replace("\n", r"\n") for line in lines), output)


def write_json(value: Any, output: TextIO | None = None, *, indent: int | None = None) -> None:
    """Write one JSON document, in which characters beyond ASCII are escapes.

    Args:
        value: What `json_ready` takes.
        output: Where to; standard output if None.
        indent: As for `json.dumps`.
    """
    click.echo(
        json.dumps(redact_all(json_ready(value)), allow_nan=False, indent=indent), file=output
    )


def print_error(text: str) -> None:
    """Write to standard error, if there is one that takes it."""
    with suppress(OSError):
        print(visible(text), file=sys.stderr, flush=True)
