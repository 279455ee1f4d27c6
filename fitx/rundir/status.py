"""What has really become of a run; a process that was killed could not write it down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fitx.errors import StorageError
from fitx.rundir import folder, lock, record

KILLED = "killed"
DAMAGED = "damaged"
UNFINISHED = ("running", "interrupted", KILLED, "failed")


@dataclass(frozen=True)
class Unfinished:
    """A run that has more to do.

    Attributes:
        run: its folder.
        status: one of `UNFINISHED`; or `DAMAGED` where that cannot be told.
        damage: why it cannot be told; or nothing.
    """

    run: Path
    status: str
    damage: str = ""


def status(run: Path) -> str:
    """Return what run.json says, or "killed" where it says "running" and nobody holds the run.

    Nothing is written, and a process that trains is not disturbed.

    Raises:
        StorageError: run.json or the lock file cannot be read.
    """
    said = _said(run)
    if said != "running" or lock.is_held(run):
        return said
    # It may have ended between the two looks, and then it has said so.
    said = _said(run)
    return KILLED if said == "running" else said


def unfinished(out: Path, name: str) -> Iterator[Unfinished]:
    """Yield the runs of an experiment that have more to do, newest first.

    One that is running is among them, so that a caller can refuse to start beside it
    (`lock.busy`), and a damaged one, which may have more to do. What is no run is left out.

    Args:
        out: the folder of all runs.
        name: the experiment's name.

    Raises:
        StorageError: the folder of these runs cannot be read.
    """
    for run in folder.runs(out / name):
        try:
            found = status(run)
        except StorageError as error:
            yield Unfinished(run, DAMAGED, str(error))
            continue
        if found in UNFINISHED:
            yield Unfinished(run, found)


def _said(run: Path) -> str:
    return str(record.load(run)["status"])
