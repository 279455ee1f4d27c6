"""The folders of a run's checkpoints: their names, their order and their deletion."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from fitx.errors import StorageError


def name(step: int, revision: int = 0) -> str:
    """Return the folder name of a step: `000420`, and `000420-1` for a second one."""
    return f"{step:06d}-{revision}" if revision else f"{step:06d}"


def order(name: str) -> tuple[int, int]:
    """Return step and revision of a folder name.

    Raises:
        ValueError: it is not the name of a checkpoint.
    """
    matched = re.fullmatch(r"([0-9]{6,18})(?:-([0-9]{1,9}))?", name)
    if not matched:
        raise ValueError(f"'{name}' is not the name of a checkpoint, such as 000420")
    return int(matched[1]), int(matched[2] or 0)


def listed(root: Path) -> list[Path]:
    """Return everything that is named like a checkpoint, oldest first; [] for a missing folder.

    Raises:
        StorageError: the folder cannot be read.
    """
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(f"cannot read {root}: {error.strerror or error}") from error
    found = []
    for one in names:
        with suppress(ValueError):
            found.append((order(one), one))
    return [root / one for _, one in sorted(found)]


def free(root: Path, step: int) -> Path:
    """Return the path of a new checkpoint of `step`, which does not exist yet."""
    positions = [order(folder.name) for folder in listed(root)]
    revisions = [revision for one, revision in positions if one == step]
    return root / name(step, max(revisions, default=-1) + 1)


def retire(folder: Path, keep: int) -> None:
    """Delete the checkpoints that the new `folder` replaces, as far as possible."""
    others = [other for other in listed(folder.parent) if other != folder]
    earlier = [other for other in others if order(other.name) < order(folder.name)]
    staying = {other.name for other in earlier[max(len(earlier) - keep + 1, 0) :]}
    for other in others:
        if other.name not in staying:
            # Renamed first, so that a kill does not leave a checkpoint with half of its files.
            doomed = other.with_name(f".tmp-old-{other.name}-{secrets.token_hex(4)}")
            with suppress(OSError):
                os.rename(other, doomed)
                remove(doomed)


def sweep(root: Path) -> None:
    """Remove temporary files of a killed process."""
    for leftover in root.glob(".tmp-*"):
        remove(leftover)


def remove(path: Path) -> None:
    """Remove a folder or a file as far as possible; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
