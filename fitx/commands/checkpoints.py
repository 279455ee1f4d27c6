"""Lists the checkpoints of a run and verifies each of them."""

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
from fitx.rundir.checkpoint_meta_checks import meta_check
from fitx.rundir.status import status

MOST_ROUNDS = 10
"""The most times that the folder is listed again for checkpoints that were written meanwhile."""


@dataclass(frozen=True)
class Entry:
    """One checkpoint.

    Attributes:
        name: The name of its folder, `000420`.
        step: The number of training steps.
        epoch: The number of finished epochs; None if it cannot be read, as all that follow.
        phase: "epoch", "validation", or "between" two epochs.
        best: The best epoch so far, whose weights it holds; None without a monitor.
        bytes: Its size on disk.
        written: The time it was written, in UTC.
        damage: The reason why it cannot be used; empty if it is whole.
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
        """True if every byte is as it was written."""
        return not self.damage


@dataclass(frozen=True)
class Listing:
    """The checkpoints of a run, oldest first.

    Attributes:
        run: The run folder.
        status: The status of the run; "unknown" if run.json cannot be read.
        last: The last checkpoint according to run.json; None before the end.
        best: The best epoch according to run.json; None before the end, and without a monitor.
        entries: The checkpoints.
    """

    run: Path
    status: str
    last: str | None
    best: dict[str, Any] | None
    entries: tuple[Entry, ...]

    @property
    def is_lost(self) -> bool:
        """True if there are checkpoints, but no whole one."""
        return bool(self.entries) and not any(entry.whole for entry in self.entries)

    def to_json(self) -> dict[str, Any]:
        """Return the listing as the JSON object that `--json` prints."""
        fields = {key: value for key, value in vars(self).items() if key != "entries"}
        entries = [{**asdict(entry), "whole": entry.whole} for entry in self.entries]
        return dict(json_ready({**fields, "checkpoints": entries}))


def list_checkpoints(run: Path) -> Listing:
    """Verify every checkpoint of a run, which may be in training; writes nothing.

    Raises:
        StorageError: The folder `checkpoints` cannot be read.
    """
    try:
        run_status, recorded = status(run), record.load(run)
    except StorageError:
        return Listing(run, "unknown", None, None, _entries(run, {}))
    entries = _entries(run, recorded)
    return Listing(run, run_status, recorded["last"], recorded["best"], entries)


def _entries(run: Path, recorded: dict[str, Any]) -> tuple[Entry, ...]:
    """Verify checkpoints until no new ones appear: a training replaces them meanwhile."""
    root = run / "checkpoints"
    verified: dict[str, Entry] = {}
    for _ in range(MOST_ROUNDS):
        listed = folders.listed(root)
        # After the listing: a checkpoint relies on journal lines that were written before it.
        check = meta_check(run, recorded)
        new = [folder for folder in listed if folder.name not in verified]
        if not new:
            break
        verified |= {folder.name: _entry(folder, check) for folder in new}
    remaining = (verified.get(folder.name) for folder in folders.listed(root))
    return tuple(entry for entry in remaining if entry is not None)


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
        written=_time_text(folder),
        damage=damage,
    )


def _bytes(folder: Path) -> int | None:
    with suppress(OSError):
        return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return None


def _time_text(folder: Path) -> str | None:
    # The time of the folder is that of its last change, which may be the damage.
    for path in (folder / "meta.json", folder):
        with suppress(OSError, ValueError, OverflowError):
            return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return None
