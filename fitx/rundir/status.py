"""The actual status of a run, including runs that were killed before they could record it."""

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
    """A run that is not finished.

    Attributes:
        run: its folder.
        status: one of `UNFINISHED`; or `DAMAGED` if it cannot be read.
        damage: the error of a damaged run; otherwise empty.
    """

    run: Path
    status: str
    damage: str = ""


def status(run: Path) -> str:
    """Return the status in run.json; "killed" if that is "running" and the lock is free.

    Nothing is written, and a training process is not disturbed.

    Raises:
        StorageError: run.json or the lock file cannot be read.
    """
    recorded = _recorded_status(run)
    if recorded != "running" or lock.is_held(run):
        return recorded
    # The run may have ended between the two reads, and then it has written its status.
    recorded = _recorded_status(run)
    return KILLED if recorded == "running" else recorded


def unfinished(out: Path, name: str) -> Iterator[Unfinished]:
    """Yield the unfinished runs of an experiment, newest first.

    Running ones are included, so that a caller can refuse to start another (`lock.busy`), and
    damaged ones, which may be unfinished. Folders that are not runs are left out.

    Args:
        out: the folder of all runs.
        name: the experiment's name.

    Raises:
        StorageError: the folder of these runs cannot be read.
    """
    for run in folder.runs(out / name):
        try:
            run_status = status(run)
        except StorageError as error:
            yield Unfinished(run, DAMAGED, str(error))
            continue
        if run_status in UNFINISHED:
            yield Unfinished(run, run_status)


def _recorded_status(run: Path) -> str:
    return str(record.load(run)["status"])
