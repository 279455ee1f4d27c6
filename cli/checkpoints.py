"""The `fitx checkpoints` command: lists and verifies the checkpoints of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import _arguments, _layout
from ._output import print_error, print_json, print_lines

if TYPE_CHECKING:
    from fitx.commands.checkpoints import Entry, Listing

HEADINGS = ("checkpoint", "epoch", "phase", "size", "written", "best by then", "state")


@click.command(short_help="List and verify a run's checkpoints.")
@click.argument("run", metavar="RUN", type=_arguments.RUN)
@_arguments.out_option
@_arguments.json_option
def command(run: str, out: Path, as_json: bool) -> None:
    """List the checkpoints of RUN, a run's folder or name, and verify their checksums.

    The run may be in training. The exit code is 7 if there are checkpoints and all are damaged.
    """
    from fitx.commands.checkpoints import list_checkpoints
    from fitx.errors import StorageError
    from fitx.rundir.folder import find_run
    from fitx.training.result import relative_to_cwd

    listing = list_checkpoints(relative_to_cwd(find_run(run, out)))
    lost = f"no checkpoint of {listing.run} is whole" if listing.is_lost else ""
    if as_json:
        failure = {"error": lost, "code": StorageError.exit_code} if lost else {}
        print_json({**listing.to_json(), **failure})
    else:
        print_lines(_listing_lines(listing))
    if lost:
        print_error(lost)
        raise click.exceptions.Exit(StorageError.exit_code)


def _listing_lines(listing: Listing) -> Iterator[str]:
    yield f"{listing.run}: {listing.status}"
    if not listing.entries:
        yield "no checkpoint has been written"
        return
    width = _layout.output_width(otherwise=sys.maxsize)
    rows = [_checkpoint_row(entry, listing) for entry in listing.entries]
    yield from _layout.table_lines(_without_empty([HEADINGS, *rows]), width)
    if listing.best is not None:
        yield f"best: epoch {listing.best['epoch']}, {_best_value(listing.best)}"
    yield from (entry.damage for entry in listing.entries if entry.damage)


def _without_empty(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Remove the columns that are empty below their heading."""
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    return list(zip(*columns, strict=True))


def _checkpoint_row(entry: Entry, listing: Listing) -> tuple[str, ...]:
    epoch = "" if entry.epoch is None else str(entry.epoch)
    size = "" if entry.bytes is None else _file_size(entry.bytes)
    marks = ["whole" if entry.whole else "damaged"]
    marks += ["last"] if entry.name == listing.last else []
    best = f"epoch {entry.best['epoch']}" if entry.best else ""
    return entry.name, epoch, entry.phase or "", size, entry.written or "", best, ", ".join(marks)


def _best_value(best: dict[str, Any]) -> str:
    value = best["value"]
    return f"{best['monitor']} {value:.6g}" if isinstance(value, float) else f"{best['monitor']}"


def _file_size(count: float) -> str:
    if count < 1000:
        return f"{count} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95 or unit == "GB":
            break
    return f"{count:,.1f} {unit}"
