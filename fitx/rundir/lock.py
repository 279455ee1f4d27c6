"""One writer per run folder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from fitx.errors import BusyError
from fitx.rundir.files import storage_errors

NAME = "run.lock"


@contextmanager
def hold(run: Path) -> Iterator[None]:
    """Keep every other process from writing to the run folder while the block runs.

    The kernel holds the lock and drops it with the process, however that dies: a lock is
    never left behind, and the file `run.lock` itself means nothing. The temporary files of
    a writer that was killed are removed.

    Raises:
        BusyError: another process holds it; names process, machine and since when.
        StorageError: the lock file cannot be opened or locked, or is a link.
    """
    path = run / NAME
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with storage_errors("lock", path):
        descriptor = os.open(path, flags, 0o666)
    try:
        _take(descriptor, run, path)
        _sweep(run)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, run: Path, path: Path) -> None:
    with storage_errors("lock", path):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"{run} is in use by {_holder(descriptor)}. Wait until it ends, or stop it."
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, _about_this_process(), 0)


def _sweep(run: Path) -> None:
    for leftover in run.glob(".tmp-*"):
        with suppress(OSError):
            leftover.unlink()


def _about_this_process() -> bytes:
    started = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": started}
    return json.dumps(about).encode() + b"\n"


def _holder(descriptor: int) -> str:
    """Read who holds the lock; the holder writes it just after taking the lock."""
    for _ in range(20):
        try:
            about = json.loads(os.pread(descriptor, 4096, 0))
            return f"process {about['pid']} on {about['host']} since {about['since']}"
        except (ValueError, KeyError, TypeError):
            time.sleep(0.01)
    return "another process"
