"""Fingerprints of the files that parts of an experiment read, for run.json."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fitx import safe_files
from fitx.errors import StorageError

WHOLE_BYTES = 1 << 28
"""Files up to this size, in bytes, are hashed completely; of larger ones, samples are."""

SAMPLES = 64
SAMPLE_BYTES = 1 << 20


def fingerprints(files: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """Return size and hash of every file or folder that exists, by the key that names it.

    Unreadable files are left out: the part that needs one reports it better.
    """
    fingerprint_by_file = {}
    for key, path in files.items():
        try:
            fingerprint_by_file[key] = _fingerprint(path)
        except (OSError, ValueError):
            continue
    return fingerprint_by_file


def check_present(files: Mapping[str, Path], recorded: Mapping[str, Any]) -> None:
    """Raise StorageError if a file that a run was trained with is gone.

    Args:
        files: The files that the parts of the experiment read now, by key.
        recorded: The result of `fingerprints` when the run began.
    """
    for key, path in files.items():
        if key in recorded and not path.exists():
            text = f"{key}: {path} is missing, and this run needs it; restore it, or give its new"
            raise StorageError(f"{text} place with {key}=PATH.")


def _fingerprint(path: Path) -> dict[str, Any]:
    """Return the size and hash of a file; for a folder, of all files below it with their names.

    Raises:
        OSError: It cannot be read.
        ValueError: It is neither a file nor a folder.
    """
    digest, size = hashlib.sha256(), 0
    for file in _files_below(path) if path.is_dir() else (path,):
        if file != path:
            digest.update(os.fsencode(f"{file.relative_to(path)}\0{file.stat().st_size}\0"))
        size += _add(file, digest)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _files_below(folder: Path) -> Iterator[Path]:
    for within, folders, names in os.walk(folder):
        folders.sort()
        yield from (file for name in sorted(names) if (file := Path(within, name)).is_file())


def _add(file: Path, digest: Any) -> int:
    """Add a file to a hash, or evenly spaced samples of a large one; return its size."""
    with safe_files.open_regular(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= WHOLE_BYTES:
            while chunk := stream.read(SAMPLE_BYTES):
                digest.update(chunk)
            return size
        digest.update(str(size).encode())
        for sample in range(SAMPLES):
            stream.seek((size - SAMPLE_BYTES) * sample // (SAMPLES - 1))
            digest.update(stream.read(SAMPLE_BYTES))
        return size
