"""The lock that allows one writer per run folder."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from fitx import json_text
from fitx.errors import BusyError
from fitx.json_model import Count, Model, parse_model
from fitx.rundir.files import storage_errors

NAME = "run.lock"
ATTEMPTS = 10
PAUSE_SECONDS = 0.01


class _About(Model):
    """run.lock: who holds the lock, and since when."""

    pid: Count
    host: str
    since: str


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Keep every other process from writing to the run folder while the block runs.

    The kernel releases the lock when the process ends, however it ends: no stale lock remains,
    and the existence of the file `run.lock` means nothing. Temporary files of a killed writer are
    removed.

    Raises:
        BusyError: another process holds it; with its number, its machine and the time.
        StorageError: the lock file cannot be opened or locked, or is a link.
    """
    path = run / NAME
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with storage_errors("lock", path):
        descriptor = os.open(path, flags, 0o666)
    _open.add(descriptor)
    try:
        _take(descriptor, run, path)
        _sweep(run)
        yield
    finally:
        if descriptor in _open:
            _open.remove(descriptor)
            os.close(descriptor)


def is_held(run: Path) -> bool:
    """Return whether a process holds the run folder now; nothing is written.

    Raises:
        StorageError: the lock file cannot be opened, or is a link.
    """
    with storage_errors("read", run / NAME), suppress(FileNotFoundError), _opened(run) as file:
        return not _lock(file.fileno(), fcntl.LOCK_SH)
    return False


def busy(run: Path) -> BusyError:
    """Return the error that names the process which holds the run folder."""
    with suppress(OSError), _opened(run) as file:
        return _busy(run, _holder(file.fileno()))
    return _busy(run, "another process")


def _opened(run: Path) -> FileIO:
    # Opening a pipe without O_NONBLOCK would block until a writer opens it.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return FileIO(os.open(run / NAME, flags), "rb")


def _take(descriptor: int, run: Path, path: Path) -> None:
    with storage_errors("lock", path):
        for _ in range(ATTEMPTS):
            if _lock(descriptor, fcntl.LOCK_EX):
                break
            # A process that only tests the lock holds it for an instant.
            time.sleep(PAUSE_SECONDS)
        else:
            raise _busy(run, _holder(descriptor))
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _about_this_process(), 0)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _busy(run: Path, holder: str) -> BusyError:
    return BusyError(f"{run} is in use by {holder}. Wait until it ends, or stop it.")


def _sweep(run: Path) -> None:
    for leftover in run.glob(".tmp-*"):
        with suppress(OSError):
            leftover.unlink()


def _about_this_process() -> bytes:
    started = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    about = _About(pid=os.getpid(), host=socket.gethostname(), since=started)
    return about.model_dump_json().encode() + b"\n"


def _holder(descriptor: int) -> str:
    """Return a description of the lock's holder, which writes it just after it takes the lock."""
    for _ in range(2 * ATTEMPTS):
        try:
            about = parse_model(_About, json_text.parse(os.pread(descriptor, 4096, 0)))
            return f"process {about.pid} on {about.host} since {about.since}"
        except ValueError:
            time.sleep(PAUSE_SECONDS)
    return "another process"


_open: set[int] = set()
"""File descriptors of the locks that this process holds or is taking."""


def _leave_to_parent() -> None:
    """Close the locks in a forked child, which would otherwise hold them until it ends."""
    while _open:
        os.close(_open.pop())


os.register_at_fork(after_in_child=_leave_to_parent)
