"""Writes everything that a command prints to standard output and standard error.

File names, docstrings, values and messages of libraries may contain any character. Characters that
could move the cursor, change a colour or reverse the writing direction are written as escapes.
Values of environment variables that an experiment uses are redacted.
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
    """Return a text, redacted, with escapes for control characters other than newlines."""
    shown = (
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode()
        for c in redact(text).expandtabs()
    )
    return "".join(shown)


def one_line(text: str) -> str:
    """Return a text as `visible` does, on one line: newlines become spaces."""
    return visible("".join(" " if c.isspace() else c for c in redact(text)))


def print_text(text: str, output: TextIO | None = None) -> None:
    """Write a text of several lines to standard output, or to the given stream."""
    click.echo(visible(text), file=output)


def print_lines(lines: Iterable[str], output: TextIO | None = None) -> None:
    """Write lines as `print_text` does; a newline within a line is written as an escape."""
    print_text("\n".join(line.replace("\n", r"\n") for line in lines), output)


def print_json(value: Any, output: TextIO | None = None, *, indent: int | None = None) -> None:
    """Write one JSON document in ASCII.

    Args:
        value: Any value that `json_ready` accepts.
        output: The stream; standard output if None.
        indent: As for `json.dumps`.
    """
    click.echo(
        json.dumps(redact_all(json_ready(value)), allow_nan=False, indent=indent), file=output
    )


def print_error(text: str) -> None:
    """Write to standard error; do nothing if it cannot be written."""
    with suppress(OSError):
        print(visible(text), file=sys.stderr, flush=True)
