"""Names and signatures laid out for a terminal, and one a line for everything else."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

GAP = 2
"""Columns between two cells."""

WIDTH = 88
"""How wide text is laid out that is not for a terminal."""


def is_terminal(output: TextIO | None = None) -> bool:
    """Whether a stream, by default standard output, is a terminal."""
    return (output or sys.stdout).isatty()


def width(output: TextIO | None = None, otherwise: int = WIDTH) -> int:
    """Return the columns there are to write in: a terminal's, or else what is said."""
    if not is_terminal(output):
        return otherwise
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal() and int(columns):
        return int(columns)
    return os.get_terminal_size((output or sys.stdout).fileno()).columns or WIDTH


def columns(names: Sequence[str], wide: int) -> str:
    """Return names in as many columns as fit, read downwards as `ls` does."""
    for rows in range(1, len(names) + 1):
        stacks = [names[start : start + rows] for start in range(0, len(names), rows)]
        widths = [max(map(len, stack)) for stack in stacks]
        if sum(widths) + 2 * (len(widths) - 1) <= wide or rows == len(names):
            return "\n".join(_row(stacks, widths, row) for row in range(rows))
    return ""


def _row(stacks: Sequence[Sequence[str]], widths: Sequence[int], row: int) -> str:
    cells = zip(stacks, widths, strict=True)
    return "  ".join(stack[row].ljust(w) for stack, w in cells if row < len(stack)).rstrip()


def table(rows: Sequence[Sequence[str]], wide: int = sys.maxsize) -> list[str]:
    """Return rows, the first of them headings, as lines with the cells of a column below another.

    Where those would be too wide, each row is a paragraph that names its cells.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = ([c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in rows)
    lines = ["  ".join(row).rstrip() for row in cells]
    if max(map(len, lines), default=0) <= wide:
        return lines
    headings, *others = rows
    named = ([f"{h} {c}" for h, c in zip(headings, row, strict=True) if c] for row in others)
    return fitted((", ".join(row) for row in named), wide)


def fitted(lines: Iterable[str], wide: int) -> list[str]:
    """Return lines of which each that is too wide goes on, indented, after one of its words."""
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    wrapped = (
        textwrap.wrap(line, wide, subsequent_indent="  ", **options) if len(line) > wide else [line]
        for line in lines
    )
    return [line for some in wrapped for line in some]


def pairs(rows: Sequence[tuple[str, str]], wide: int) -> list[str]:
    """Return names and values as lines; below a name that leaves no room stands its value alone."""
    room = wide - GAP - max((len(value) for _, value in rows), default=0)
    width = max((len(name) for name, _ in rows if len(name) <= room), default=0)
    lines = []
    for name, value in rows:
        fits = len(name) <= room
        lines += [f"{name:<{width}}  {value}"] if fits else [name, f"{'':<{width}}  {value}"]
    return lines


def paragraph(title: str, words: Sequence[str], wide: int) -> str:
    """Return `title: word, word, ...`, wrapped and indented below its first word."""
    indent = " " * (len(title) + 2)
    text = f"{title}: {', '.join(words)}"
    return textwrap.fill(text, wide, subsequent_indent=indent, break_on_hyphens=False)


def call(name: str, arguments: Sequence[str], wide: int) -> str:
    """Return `name(argument, ...)`, an argument a line where they do not fit in one."""
    line = f"{name}({', '.join(arguments)})"
    if len(line) <= wide:
        return line
    return "\n".join([f"{name}(", *(f"    {argument}," for argument in arguments), ")"])


def indented(text: str) -> str:
    """Return text with two spaces before every line that says something."""
    return textwrap.indent(text, "  ")
