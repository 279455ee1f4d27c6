"""Checkpoints: the state of a run on disk, written atomically and verified when read.

A checkpoint is a folder `000420/` (the training step) with two files: `state.npz`, the arrays,
and `meta.json`, which describes them and holds the checksums of both. It is written under a
temporary name and renamed when every byte is on the disk, so a kill or a power cut at any instant
leaves the earlier checkpoints intact. Reading a checkpoint executes no code.
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

from fitx import safe_files
from fitx.checkpoint import folders, meta_file, state_file
from fitx.checkpoint.state_file import Array, State
from fitx.errors import StorageError

Check = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Newest:
    """The newest valid checkpoint.

    Attributes:
        folder: its folder.
        step: the number of training steps done.
        state: arrays by variable path.
        meta: the `meta` that `save` was given.
        skipped: the reason why each newer one cannot be used, newest first.
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
    """Write a checkpoint, then delete the oldest beyond `keep`.

    Only one process may save into `root` at a time (`rundir.lock`).

    Args:
        root: the folder of all checkpoints of a run; created if missing.
        step: training steps done, at least 0.
        state: arrays by variable path; booleans, integers, floats (bfloat16 and its like
            too) and complex numbers of any shape.
        meta: JSON values, NaN and infinities included; tuples are read back as lists, NumPy's
            scalars as Python's.
        keep: the number of newest checkpoints to keep, including this one. Checkpoints of later
            steps, which a resumed run has abandoned, are deleted.

    Returns:
        The new folder, `000420`; or `000420-1` if `000420` exists, which is never changed.

    Raises:
        StorageError: the disk is full or not writable, or a dtype is not numeric; earlier
            checkpoints are intact.
    """
    folder = root / folders.name(step)
    try:
        safe_files.make_folder(root)
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

    Sizes, checksums, names, shapes and dtypes are checked before an array is allocated.

    Returns:
        The arrays by variable path, and the meta it was saved with.

    Raises:
        StorageError: it is missing, unreadable, damaged, or in an unknown format.
    """
    with _storage_errors(folder):
        about = _read_meta(folder)
        with safe_files.open_regular(folder / "state.npz") as file:
            return state_file.read(file, about["state"]), about["meta"]


def verify(folder: Path, check: Check = lambda meta: None) -> dict[str, Any]:
    """Verify one checkpoint's checksums, in bounded memory.

    Args:
        folder: its folder.
        check: as for `newest`.

    Returns:
        The meta it was saved with.

    Raises:
        StorageError: as `load`.
    """
    with _storage_errors(folder):
        about = _read_meta(folder)
        with safe_files.open_regular(folder / "state.npz") as file:
            state_file.verify(file, about["state"])
        check(about["meta"])
        return dict(about["meta"])


def newest(root: Path, run: str | None = None, check: Check = lambda meta: None) -> Newest | None:
    """Return the newest valid checkpoint; None if there are no checkpoints.

    Args:
        root: the folder of all checkpoints of a run.
        run: the required `run` in the meta, so that another run's checkpoint is not used; None
            allows any.
        check: raises ValueError for a meta that makes a checkpoint unusable.

    Raises:
        StorageError: there are checkpoints and none is valid; with a reason for each.
    """
    listed = folders.listed(root)
    skipped: list[str] = []
    for folder in reversed(listed):
        try:
            state, meta = load(folder)
            if run is not None and meta.get("run") != run:
                raise StorageError(f"checkpoint {folder} belongs to another run")
            with _storage_errors(folder):
                check(meta)
        except StorageError as error:
            if folders.listed(root) != listed:
                # The run is being trained and has replaced its checkpoints meanwhile.
                return newest(root, run, check)
            skipped.append(str(error))
            continue
        step, _ = folders.order(folder.name)
        return Newest(folder, step, state, meta, tuple(skipped))
    if skipped:
        raise StorageError("no checkpoint is valid:\n" + "\n".join(skipped))
    return None


# Errors of zipfile and of NumPy's header reader, and ValueError for an invalid meta.json.
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
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{os.path.basename(error.filename or '')}: {error.strerror or error}"
        raise StorageError(f"checkpoint {folder} cannot be read: {reason}") from error
    except _DAMAGE as error:
        raise StorageError(f"checkpoint {folder} is damaged: {error}") from error


def _read_meta(folder: Path) -> dict[str, Any]:
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
        safe_files.sync_folder(temporary)
        os.rename(temporary, folder)
    except BaseException:
        folders.remove(temporary)
        raise
    safe_files.sync_folder(folder.parent)
