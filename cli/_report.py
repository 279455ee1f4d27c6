"""Results as the lines that people read, or as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from fitx.errors import ExpectationError

from . import _layout
from ._output import print_error, write_json, write_lines

if TYPE_CHECKING:
    from fitx.training.result import Result


def present(
    result: Result, output: TextIO, *, as_json: bool, heading: tuple[str, ...] = ()
) -> None:
    """Print a result; one that missed an expectation ends the command with its exit code."""
    from fitx.training.expectations import demand

    missed = ""
    try:
        demand(result.facts.get("expect", []))
    except ExpectationError as error:
        missed = str(error)
    failure = {"error": missed, "code": ExpectationError.exit_code} if missed else {}
    # Whoever reads the output may leave when they like; the exit code is for others.
    with suppress(BrokenPipeError):
        if as_json:
            write_json({**result.to_json(), **failure}, output)
        else:
            write_lines([*heading, *_lines(result, output)], output)
    if missed:
        print_error(missed)
        raise click.exceptions.Exit(ExpectationError.exit_code)


def _lines(result: Result, output: TextIO) -> Iterator[str]:
    """Yield the lines of a result: values one a line, expectations, the run folder."""
    values = [(name, f"{value:.6g}") for name, value in result.metrics.items()]
    yield from _layout.pairs(values, _layout.width(output, otherwise=sys.maxsize))
    for judged in result.facts.get("expect", ()):
        yield _expectation(judged)
    if result.run is not None:
        yield f"run: {result.run}"


def _expectation(judged: dict[str, Any]) -> str:
    met = "met" if judged["met"] else "missed"
    return f"expected {judged['name']} {judged['expected']}: {met}"
