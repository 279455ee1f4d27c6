"""Safe file access: creates only new files, opens only regular ones, and flushes them to disk."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, so that they survive a power cut."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for new_folder in missing:
        sync_folder(new_folder.parent)


def create(path: Path) -> BinaryIO:
    """Open a new file for writing; it must not exist, not even as a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), "wb")


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading; a pipe or a device is refused instead of waited for.

    Raises:
        ValueError: it is not a regular file.
    """
    # Opening a pipe without O_NONBLOCK would block until a writer opens it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path.name} is not a regular file")
    return os.fdopen(descriptor, "rb")


def sync(file: BinaryIO) -> None:
    """Flush a file to the disk, so that its bytes survive a power cut."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that its names survive a power cut, where supported."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems do not support fsync of folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)
