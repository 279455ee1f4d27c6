"""Results as the lines that people read, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

from fitx.errors import ExpectationError
from fitx.rundir.files import plain

from ._process import print_error, visible

if TYPE_CHECKING:
    from fitx.run.result import Result


def present(
    result: Result, output: TextIO, *, as_json: bool, heading: tuple[str, ...] = ()
) -> None:
    """Print a result; one that missed an expectation ends the command with its exit code."""
    from fitx.run.expectations import demand

    missed = ""
    try:
        demand(result.facts.get("expect", []))
    except ExpectationError as error:
        missed = str(error)
    if as_json:
        failure = {"error": missed, "code": ExpectationError.exit_code} if missed else {}
        text = json.dumps(plain({**result.plain(), **failure}), allow_nan=False)
    else:
        text = visible("\n".join([*heading, *_lines(result)]))
    # Whoever reads the output may leave when they like; the exit code is for others.
    with suppress(BrokenPipeError):
        click.echo(text, file=output)
    if missed:
        print_error(missed)
        raise click.exceptions.Exit(ExpectationError.exit_code)


def _lines(result: Result) -> Iterator[str]:
    """Yield the lines of a result: values one a line, expectations, the run folder."""
    shown = {visible(name).replace("\n", r"\n"): value for name, value in result.metrics.items()}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        yield f"{name:<{width}}  {value:.6g}"
    for judged in result.facts.get("expect", ()):
        yield _expectation(judged)
    if result.run is not None:
        yield f"run: {result.run}"


def _expectation(judged: dict[str, Any]) -> str:
    met = "met" if judged["met"] else "missed"
    return f"expected {judged['name']} {judged['expected']}: {met}"
