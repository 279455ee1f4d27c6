"""Lays out names, tables and signatures in the width of a terminal, or unwrapped for a pipe."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

GAP = 2
"""Spaces between two cells."""

WIDTH = 88
"""Width in columns of wrapped text that is not for a terminal."""


def output_width(output: TextIO | None = None, otherwise: int = WIDTH) -> int:
    """Return the width of a terminal in columns, or `otherwise` if the stream is none."""
    if not (output or sys.stdout).isatty():
        return otherwise
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    return os.get_terminal_size((output or sys.stdout).fileno()).columns or WIDTH


def name_columns(names: Sequence[str], width: int) -> str:
    """Return names in as many columns as fit, sorted downwards as by `ls`."""
    for rows in range(1, len(names) + 1):
        stacks = [names[start : start + rows] for start in range(0, len(names), rows)]
        widths = [max(map(len, stack)) for stack in stacks]
        if sum(widths) + 2 * (len(widths) - 1) <= width or rows == len(names):
            return "\n".join(_row(stacks, widths, row) for row in range(rows))
    return ""


def _row(stacks: Sequence[Sequence[str]], widths: Sequence[int], row: int) -> str:
    cells = zip(stacks, widths, strict=True)
    return "  ".join(stack[row].ljust(w) for stack, w in cells if row < len(stack)).rstrip()


def table_lines(rows: Sequence[Sequence[str]], width: int = sys.maxsize) -> list[str]:
    """Return rows as aligned lines; the first row contains the headings.

    If the lines would be too wide, each row becomes a paragraph that repeats the headings.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in rows)
    lines = ["  ".join(row).rstrip() for row in cells]
    if max(map(len, lines), default=0) <= width:
        return lines
    headings, *body = rows
    labelled_rows = ([f"{h} {c}" for h, c in zip(headings, row, strict=True) if c] for row in body)
    return wrapped_lines((", ".join(row) for row in labelled_rows), width)


def wrapped_lines(lines: Iterable[str], width: int) -> list[str]:
    """Return lines wrapped between words; what follows on the next line is indented."""
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    wrapped = (
        textwrap.wrap(line, width, subsequent_indent="  ", **options)
        if len(line) > width
        else [line]
        for line in lines
    )
    return [line for parts in wrapped for line in parts]


def pairs(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Return names and values as aligned lines; a value that does not fit gets its own line."""
    room = width - GAP - max((len(value) for _, value in rows), default=0)
    name_width = max((len(name) for name, _ in rows if len(name) <= room), default=0)
    lines = []
    for name, value in rows:
        fits = len(name) <= room
        lines += (
            [f"{name:<{name_width}}  {value}"] if fits else [name, f"{'':<{name_width}}  {value}"]
        )
    return lines


def paragraph(title: str, words: Sequence[str], width: int) -> str:
    """Return `title: word, word, ...`, wrapped and indented below its first word."""
    indent = " " * (len(title) + 2)
    text = f"{title}: {', '.join(words)}"
    return textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False)


def call_text(name: str, arguments: Sequence[str], width: int) -> str:
    """Return `name(argument, ...)`, with one argument per line if one line is too short."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= width:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), ")"])


def indented(text: str) -> str:
    """Return text with two spaces before every line that is not empty."""
    return textwrap.indent(text, "  ")
