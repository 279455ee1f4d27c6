"""The state of a run on disk: written whole or not at all, verified before it is used.

A checkpoint is a folder `000420/` (the training step) with two files: `state.npz`, the numbers,
and `meta.json`, which tells what they are and carries the checksums of both. It comes into being
under a temporary name and is renamed when every byte is on the disk, so a kill or a power cut at
any instant leaves the checkpoints before it as they were. Reading executes nothing.
"""

from __future__ import annotations

import os
import secrets
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitx import disk
from fitx.checkpoint import folders, meta_file, state_file
from fitx.checkpoint.state_file import Array, State
from fitx.errors import StorageError

Check = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Newest:
    """The newest checkpoint that is whole.

    Attributes:
        folder: where it is.
        step: the training step it was taken after.
        state: arrays by variable path.
        meta: what `save` was given.
        skipped: why each newer one could not be used, newest first.
    """

    folder: Path
    step: int
    state: State
    meta: dict[str, Any]
    skipped: tuple[str, ...]


def save(
    root: Path,
    step: int,
    state: Mapping[str, Array],
    meta: Mapping[str, Any],
    keep: int,
) -> Path:
    """Commit a checkpoint, then delete the oldest beyond `keep`.

    Only one process may save into `root` at a time (`rundir.lock`).

    Args:
        root: the folder of all checkpoints of a run; made when missing.
        step: training steps done, at least 0.
        state: arrays by variable path; booleans, integers, floats (bfloat16 and its like
            too) and complex numbers of any shape.
        meta: anything JSON has, NaN and infinities included; comes back as it was, but for
            tuples (lists) and NumPy's scalars (Python's).
        keep: how many of the newest stay, this one among them. Those of later steps are
            what a resumed run gave up, and go.

    Returns:
        The new folder, `000420`; or `000420-1` where `000420` exists, which is never touched.

    Raises:
        StorageError: disk full, not writable, a dtype that is no number; earlier
            checkpoints are untouched.
    """
    folder = root / folders.name(step)
    try:
        disk.make_folder(root)
        folders.sweep(root)
        folder = folders.free(root, step)
        _commit(folder, step, state, meta)
    except OSError as error:
        raise StorageError(
            f"cannot write checkpoint {folder}: {error.strerror or error}. "
            "Earlier checkpoints are untouched."
        ) from error
    folders.retire(folder, keep)
    return folder


def load(folder: Path) -> tuple[State, dict[str, Any]]:
    """Read and verify one checkpoint.

    Sizes, checksums, names, shapes and dtypes are compared before an array is allocated.

    Returns:
        The arrays by variable path, and the meta it was saved with.

    Raises:
        StorageError: missing, unreadable, damaged, or of a format unknown to this fitx.
    """
    with _damage_told(folder):
        about = _about(folder)
        with disk.open_regular(folder / "state.npz") as file:
            return state_file.read(file, about["state"]), about["meta"]


def verify(folder: Path, check: Check = lambda meta: None) -> dict[str, Any]:
    """Compare one checkpoint with its checksums, in bounded memory.

    Args:
        folder: where it is.
        check: as for `newest`.

    Returns:
        The meta it was saved with.

    Raises:
        StorageError: as `load`.
    """
    with _damage_told(folder):
        about = _about(folder)
        with disk.open_regular(folder / "state.npz") as file:
            state_file.verify(file, about["state"])
        check(about["meta"])
        return dict(about["meta"])


def newest(root: Path, run: str | None = None, check: Check = lambda meta: None) -> Newest | None:
    """Return the newest checkpoint that is whole, or None where none was ever written.

    Args:
        root: the folder of all checkpoints of a run.
        run: what `run` in the meta must be, so that no other run's checkpoint is taken for one
            of this; None does not ask.
        check: raises ValueError for a meta with which a checkpoint cannot be used.

    Raises:
        StorageError: there are checkpoints and none is whole; names each with its reason.
    """
    listed = folders.listed(root)
    skipped: list[str] = []
    for folder in reversed(listed):
        try:
            state, meta = load(folder)
            if run is not None and meta.get("run") != run:
                raise StorageError(f"checkpoint {folder} belongs to another run")
            with _damage_told(folder):
                check(meta)
        except StorageError as error:
            if folders.listed(root) != listed:
                # A run that is being trained has replaced its checkpoints meanwhile.
                return newest(root, run, check)
            skipped.append(str(error))
            continue
        step, _ = folders.order(folder.name)
        return Newest(folder, step, state, meta, tuple(skipped))
    if skipped:
        raise StorageError("no checkpoint is whole:\n" + "\n".join(skipped))
    return None


# What zipfile and NumPy's header reader raise, and ValueError for a strange meta.json.
_DAMAGE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    EOFError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
)


@contextmanager
def _damage_told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{os.path.basename(error.filename or '')}: {error.strerror or error}"
        raise StorageError(f"checkpoint {folder} cannot be read: {reason}") from error
    except _DAMAGE as error:
        raise StorageError(f"checkpoint {folder} is damaged: {error}") from error


def _about(folder: Path) -> dict[str, Any]:
    step, _ = folders.order(folder.name)
    if folder.is_symlink():
        raise ValueError("it is a link, and its numbers could be another run's")
    return meta_file.read(folder / "meta.json", step)


def _commit(folder: Path, step: int, state: Mapping[str, Array], meta: Mapping[str, Any]) -> None:
    temporary = folder.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    temporary.mkdir(mode=0o700)
    try:
        about = state_file.write(temporary / "state.npz", state)
        meta_file.write(temporary / "meta.json", step, meta, about)
        disk.sync_folder(temporary)
        os.rename(temporary, folder)
    except BaseException:
        folders.remove(temporary)
        raise
    disk.sync_folder(folder.parent)
