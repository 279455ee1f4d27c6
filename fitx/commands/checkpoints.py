"""What checkpoints a run has, and which of them are whole."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fitx import checkpoint
from fitx.checkpoint import folders
from fitx.errors import StorageError
from fitx.json_text import json_ready
from fitx.rundir import record
from fitx.rundir.checkpoint_meta import meta_check
from fitx.rundir.status import status

ROUNDS = 10
"""Of looking for checkpoints that a training has written since the last look."""


@dataclass(frozen=True)
class Entry:
    """One checkpoint.

    Attributes:
        name: Its folder's name, `000420`.
        step: Training steps done.
        epoch: Epochs that were over; None where that cannot be read, as below.
        phase: What was going on then.
        best: The best epoch by then, whose weights it holds; None without a monitor.
        bytes: What it takes on the disk.
        written: When, in UTC.
        damage: Why it cannot be used; empty if it is whole.
    """

    name: str
    step: int
    epoch: int | None
    phase: str | None
    best: dict[str, Any] | None
    bytes: int | None
    written: str | None
    damage: str

    @property
    def whole(self) -> bool:
        """Whether every byte is what was written."""
        return not self.damage


@dataclass(frozen=True)
class Listing:
    """The checkpoints of a run, oldest first.

    Attributes:
        run: The run's folder.
        status: What has become of the run; "unknown" if run.json does not tell.
        last: The checkpoint that run.json calls the last one; None before the end.
        best: What run.json says of the best epoch; None before the end, or without a monitor.
        entries: The checkpoints.
    """

    run: Path
    status: str
    last: str | None
    best: dict[str, Any] | None
    entries: tuple[Entry, ...]

    @property
    def is_lost(self) -> bool:
        """Whether there are checkpoints and none of them is whole."""
        return bool(self.entries) and not any(entry.whole for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """Return the listing as one JSON object."""
        facts = {key: value for key, value in vars(self).items() if key != "entries"}
        entries = [{**asdict(entry), "whole": entry.whole} for entry in self.entries]
        return dict(json_ready({**facts, "checkpoints": entries}))


def survey(run: Path) -> Listing:
    """Verify every checkpoint of a run, which may be training meanwhile; nothing is written.

    Raises:
        StorageError: The folder of the checkpoints cannot be read.
    """
    try:
        said, facts = status(run), record.load(run)
    except StorageError:
        return Listing(run, "unknown", None, None, _entries(run, {}))
    entries = _entries(run, facts)
    return Listing(run, said, facts["last"], facts["best"], entries)


def _entries(run: Path, facts: dict[str, Any]) -> tuple[Entry, ...]:
    """Look until there is nothing new: a training replaces its checkpoints while they are read."""
    root = run / "checkpoints"
    known: dict[str, Entry] = {}
    for _ in range(ROUNDS):
        there = folders.listed(root)
        # Lines of the journal are there before the checkpoints that rely on them.
        check = meta_check(run, facts)
        unknown = [folder for folder in there if folder.name not in known]
        if not unknown:
            break
        known |= {folder.name: _entry(folder, check) for folder in unknown}
    found = (known.get(folder.name) for folder in folders.listed(root))
    return tuple(entry for entry in found if entry is not None)


def _entry(folder: Path, check: checkpoint.Check) -> Entry:
    meta, damage = {}, ""
    try:
        meta = checkpoint.verify(folder, check)
    except StorageError as error:
        damage = str(error)
    return Entry(
        name=folder.name,
        step=folders.order(folder.name)[0],
        epoch=meta.get("epoch"),
        phase=meta.get("phase"),
        best=meta.get("best"),
        bytes=_bytes(folder),
        written=_written(folder),
        damage=damage,
    )


def _bytes(folder: Path) -> int | None:
    with suppress(OSError):
        return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return None


def _written(folder: Path) -> str | None:
    # A folder's own time is that of its last change, such as one that damaged it.
    for path in (folder / "meta.json", folder):
        with suppress(OSError, ValueError, OverflowError):
            return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return None
