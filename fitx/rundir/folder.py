"""Where runs are: `<out>/<name>/<UTC time>-<4 hex>/`, and `latest` beside them.

No command ever deletes or overwrites a run: every run gets a folder of its own. A name comes after
those of all earlier runs, also where the clock was set back; its time is then that of the newest
run and a second more.
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

from fitx import disk, redaction
from fitx.errors import StorageError, UsageError
from fitx.experiment.schema import LATEST as LATEST
from fitx.rundir.files import storage_errors

SUBFOLDERS = ("source", "checkpoints", "networks", "samples")
RECORD = "run.json"

_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")


def create(out: Path, name: str, *, has_link: bool = True) -> Path:
    """Make the folder of a new run and let `<out>/<name>/latest` point to it, if that can be.

    Args:
        out: the folder of all runs; made when missing.
        name: the experiment's name: letters, digits, `.`, `_` and `-`.
        has_link: whether to make `latest`; an older one is removed if not.

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
        disk.make_folder(out / name)
        run = make_first_free(out / name, _names(out / name))
        for subfolder in SUBFOLDERS:
            (run / subfolder).mkdir()
        disk.sync_folder(run)
        _point_latest(out / name, run.name if has_link else None)
        _publish(run)
        disk.sync_folder(out / name)
    return run


def without_latest(run: Path, reason: str = "cannot be made here") -> str | None:
    """Return what to say, and why, where a run has no link `latest`; None where it has one."""
    link = run.parent / LATEST
    if link.is_symlink():
        return None
    what = "is no link and stays as it is" if os.path.lexists(link) else reason
    return f"{link} {what}; the name {run.parent.name} stands for its newest run all the same"


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


def find(run: str, out: Path) -> Path:
    """Return the folder of an existing run.

    Args:
        run: a run's folder, or `NAME` (its latest run), `NAME/latest` or `NAME/TIME` under `out`.
            A folder without record, as a run leaves that was killed at once, is no run.
        out: the folder of all runs.

    Returns:
        The folder itself, never the link `latest`, which may move to a newer run.

    Raises:
        UsageError: there is none; names what was looked for and the nearest that exists.
    """
    looked_for = dict.fromkeys((Path(run), out / run))
    for folder in looked_for:
        found = _run_at(folder)
        if found:
            _publish(found)
            return found
    places = " or ".join(str(folder / RECORD) for folder in looked_for)
    raise UsageError(f"no run '{run}': there is no {places}. {_hint(run, out)}")


def runs(parent: Path) -> list[Path]:
    """Return the runs of one name, newest first: real folders that hold a record.

    The first is the one that `find` finds by the name: where `latest` points to, if it is there.

    Args:
        parent: `<out>/<name>`; where it does not exist there are none.

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
    """Refuse at once, before anything slow, an output folder that cannot take a run.

    Raises:
        StorageError: `out`, or its nearest parent that exists, is no folder or not writable, or
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
    """Yield names that come after those of all runs there are, whatever the clock says.

    Runs are in the order of their names. After the clock was set back, and within one second, a
    new run gets the second after that of the newest run.
    """
    while True:
        now = datetime.fromtimestamp(time.time(), UTC)
        yield f"{max([now, *_taken(parent)]):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _taken(parent: Path) -> Iterator[datetime]:
    """Yield the second after each run's, also of runs that were killed at once."""
    for name in filter(_RUN.fullmatch, os.listdir(parent)):
        # A folder that fitx did not make may be named after no day, or after the last there is.
        with suppress(ValueError, OverflowError):
            yield datetime.strptime(f"{name[:15]}Z", "%Y%m%d-%H%M%S%z") + timedelta(seconds=1)


def _point_latest(parent: Path, target: str | None) -> None:
    """Replace the link in one step: there is no instant without a `latest`.

    It is a convenience: where there can be none, `find` finds the newest run by its name. A link
    that would go on pointing to an older run is removed, as where `target` is None.
    """
    link, latest = parent / f".tmp-{target}", parent / LATEST
    with suppress(OSError):
        if target is not None:
            link.symlink_to(target, target_is_directory=True)
            os.replace(link, latest)
            return
    for left in (link, latest):
        if left.is_symlink():
            left.unlink()


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
    """Let the path of a run be shown: it is made of what was typed and of the run's name."""
    redaction.publish([str(run)])
    redaction.publish_folder(os.path.abspath(run))


def _linked(parent: Path) -> str:
    """Return the name of the folder that `latest` points to; nothing where it points to none.

    Only a neighbour is followed: the link of a copied folder could point anywhere.
    """
    try:
        target = os.readlink(parent / LATEST)
    except OSError:
        return ""
    is_neighbour = target == os.path.basename(target) and target not in (".", "..")
    return target if is_neighbour else ""


def _has_record(folder: Path) -> bool:
    return os.path.isfile(folder / RECORD)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _hint(run: str, out: Path) -> str:
    known = list(_known(out))
    if not known:
        return f"There is no run under {out} yet."
    inside = [name for name in known if name.startswith(f"{run}/")]
    near = inside[-1:] or difflib.get_close_matches(run, known, n=1, cutoff=0.5)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Under {out} there is: {', '.join(name for name in known if '/' not in name)}."


def _known(out: Path) -> Iterator[str]:
    """Yield what `find` would find under `out`, oldest first, then by name alone."""
    found = [record.parent for record in sorted(out.glob(f"*/*/{RECORD}"))]
    found = [run for run in found if run.name != LATEST]
    yield from (f"{run.parent.name}/{run.name}" for run in found)
    names = dict.fromkeys(run.parent for run in found)
    yield from (parent.name for parent in names if _run_at(parent))
