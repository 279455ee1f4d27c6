"""Creates and finds run folders: `<out>/<name>/<UTC time>-<4 hex>/`, and the link `latest`.

No command ever deletes or overwrites a run: every run gets its own folder. Names are in the order
in which the runs began, even where the clock was set back: a new run then gets the time of the
newest run plus one second.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fitx import redaction, safe_files
from fitx.errors import StorageError, UsageError
from fitx.experiment.schema import LATEST as LATEST
from fitx.rundir.files import storage_errors

SUBFOLDERS = ("source", "checkpoints", "networks", "samples")
RECORD = "run.json"

_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")


def create_run(out: Path, name: str, *, has_link: bool = True) -> Path:
    """Create the folder of a new run, and point the link `<out>/<name>/latest` to it if possible.

    Args:
        out: the folder of all runs; made when missing.
        name: the experiment's name: letters, digits, `.`, `_` and `-`.
        has_link: whether to make `latest`; if not, an older link is removed.

    Returns:
        The run's folder, holding the empty folders of `SUBFOLDERS`.

    Raises:
        StorageError: a folder cannot be made.
        UsageError: the name cannot be a folder's.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or name in (".", "..", LATEST):
        raise UsageError(
            f"a run cannot be called '{name}': use letters, digits, '.', '_' and '-', "
            f"and neither '.', '..' nor '{LATEST}'"
        )
    with storage_errors("make a run in", out / name):
        safe_files.make_folder(out / name)
        run = make_first_free(out / name, _names(out / name))
        for subfolder in SUBFOLDERS:
            (run / subfolder).mkdir()
        safe_files.sync_folder(run)
        _point_latest(out / name, run.name if has_link else None)
        _publish(run)
        safe_files.sync_folder(out / name)
    return run


def without_latest(run: Path, reason: str = "cannot be made here") -> str | None:
    """Return a note if a run has no link `latest`, with the reason; None if it has one."""
    link = run.parent / LATEST
    if link.is_symlink():
        return None
    what = "is not a link, and is left unchanged" if os.path.lexists(link) else reason
    return f"{link} {what}; the name {run.parent.name} still means its newest run"


def make_first_free(parent: Path, names: Iterable[str]) -> Path:
    """Make the first of the folders `names` that does not exist; safe against other processes.

    Raises:
        OSError: the folder cannot be made.
        StorageError: all names are taken.
    """
    for name in names:
        try:
            (parent / name).mkdir()
        except FileExistsError:
            continue
        return parent / name
    raise StorageError(f"cannot make a run in {parent}: all its names are taken")


def find_run(run: str, out: Path) -> Path:
    """Return the folder of an existing run.

    Args:
        run: a run's folder, or `NAME` (its latest run), `NAME/latest` or `NAME/TIME` under `out`.
            A folder without run.json, left by a run that was killed at once, does not count.
        out: the folder of all runs.

    Returns:
        The folder itself, never the link `latest`, which may move to a newer run.

    Raises:
        UsageError: there is none; names the places searched and the nearest existing run.
    """
    looked_for = dict.fromkeys((Path(run), out / run))
    for folder in looked_for:
        found = _run_at(folder)
        if found:
            _publish(found)
            return found
    places = " or ".join(str(folder / RECORD) for folder in looked_for)
    raise UsageError(f"no run is called '{run}': there is no {places}. {_hint(run, out)}")


def runs(parent: Path) -> list[Path]:
    """Return the runs of one name, newest first: real folders that hold a record.

    The first is the one that `find_run` returns for the name: the target of `latest`, if any.

    Args:
        parent: `<out>/<name>`; an empty list if it does not exist.

    Raises:
        StorageError: the folder cannot be read.
    """
    with storage_errors("read", parent), suppress(FileNotFoundError, NotADirectoryError):
        with os.scandir(parent) as entries:
            found = [e.name for e in entries if _RUN.fullmatch(e.name) and _is_folder(e)]
        latest = _linked(parent)
        newest_first = sorted(found, key=lambda name: (name == latest, name), reverse=True)
        return [parent / name for name in newest_first if _has_record(parent / name)]
    return []


def check_writable(out: Path) -> None:
    """Check that a run can be created in an output folder, before anything slow starts.

    Raises:
        StorageError: `out`, or its nearest existing parent, is not a folder or not writable, or
            the working folder is gone.
    """
    try:
        place = Path(os.path.abspath(out))
    except FileNotFoundError as error:
        reason = "the working folder has been deleted"
        raise StorageError(f"cannot write runs to {out}: {reason}. Change to another.") from error
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        reason = f"{place} is not a folder"
    elif not os.access(place, os.W_OK | os.X_OK):
        reason = f"{place} is not writable"
    else:
        return
    raise StorageError(f"cannot write runs to {out}: {reason}. Choose another folder with --out.")


def _names(parent: Path) -> Iterator[str]:
    """Yield names that sort after all existing runs, whatever the clock says.

    If the clock was set back, or several runs start within one second, a new run gets the second
    after the newest run's.
    """
    while True:
        now = datetime.fromtimestamp(time.time(), UTC)
        yield f"{max([now, *_times_in_names(parent)]):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _times_in_names(parent: Path) -> Iterator[datetime]:
    """Yield the second after each run's time, including folders without run.json."""
    for name in filter(_RUN.fullmatch, os.listdir(parent)):
        # The name of a folder that fitx did not create may not be a valid date.
        with suppress(ValueError, OverflowError):
            yield datetime.strptime(f"{name[:15]}Z", "%Y%m%d-%H%M%S%z") + timedelta(seconds=1)


def _point_latest(parent: Path, target: str | None) -> None:
    """Replace the link atomically, so that `latest` always exists.

    The link is optional: without it, `find_run` finds the newest run by its name. If the link
    cannot be replaced, or `target` is None, one that points to an older run is removed.
    """
    link, latest = parent / f".tmp-{target}", parent / LATEST
    with suppress(OSError):
        if target is not None:
            link.symlink_to(target, target_is_directory=True)
            os.replace(link, latest)
            return
    for leftover in (link, latest):
        if leftover.is_symlink():
            leftover.unlink()


def _run_at(folder: Path) -> Path | None:
    if folder.name == LATEST:
        folder = folder.parent
    elif _has_record(folder):
        return folder
    latest = _linked(folder)
    if latest and _has_record(folder / latest):
        return folder / latest
    with suppress(StorageError, ValueError):
        return next(iter(runs(folder)), None)
    return None


def _publish(run: Path) -> None:
    """Allow the path of a run in messages: it holds only typed words and the run's name."""
    redaction.publish([str(run)])
    redaction.publish_folder(os.path.abspath(run))


def _linked(parent: Path) -> str:
    """Return the name of the folder that `latest` points to; empty if there is none.

    Only a link to a sibling is followed: the link in a copied folder could point anywhere.
    """
    try:
        target = os.readlink(parent / LATEST)
    except OSError:
        return ""
    is_sibling = target == os.path.basename(target) and target not in (".", "..")
    return target if is_sibling else ""


def _has_record(folder: Path) -> bool:
    return os.path.isfile(folder / RECORD)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _hint(run: str, out: Path) -> str:
    known = list(_known(out))
    if not known:
        return f"There are no runs in {out}/ yet."
    inside = [name for name in known if name.startswith(f"{run}/")]
    near = inside[-1:] or difflib.get_close_matches(run, known, n=1, cutoff=0.5)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Runs in {out}/: {', '.join(name for name in known if '/' not in name)}."


def _known(out: Path) -> Iterator[str]:
    """Yield the words by which `find_run` finds the runs under `out`, oldest first, names last."""
    found = [record.parent for record in sorted(out.glob(f"*/*/{RECORD}"))]
    found = [run for run in found if run.name != LATEST]
    yield from (f"{run.parent.name}/{run.name}" for run in found)
    names = dict.fromkeys(run.parent for run in found)
    yield from (parent.name for parent in names if _run_at(parent))
