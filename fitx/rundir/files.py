"""Files that are either whole or not there, and errors that name them."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fitx import disk, json_text
from fitx.errors import StorageError


@contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Tell every `OSError` of the block as "cannot <action> <path>: <reason>".

    Raises:
        StorageError: for any `OSError` raised inside.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {action} {path}: {error.strerror or error}") from error


def write_atomically(path: Path, data: bytes | str) -> None:
    """Put `data` at `path` so that any reader, at any instant, sees the old or the new whole.

    The bytes reach the disk before the name does (write, fsync, rename, fsync of the folder).

    Args:
        path: the file; what stood there is replaced, a link is replaced and not followed.
        data: the whole content; text is written as UTF-8.

    Raises:
        StorageError: nothing was changed, and no temporary file is left.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    with storage_errors("write", path):
        try:
            with disk.create(temporary) as file:
                file.write(content)
                disk.sync(file)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        disk.sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; `json_text.json_ready` says what it may be."""
    text = json.dumps(json_text.json_ready(value), indent=2, ensure_ascii=False, allow_nan=False)
    # Words of the command line can hold bytes that are no UTF-8: they are kept as escapes.
    write_atomically(path, (text + "\n").encode("utf-8", "backslashreplace"))


MOST_JSON = 1 << 26
"""Bytes of a JSON document; one of a run holds thousands."""


def read_json(path: Path) -> Any:
    """Read one JSON document.

    Raises:
        StorageError: the file is missing, unreadable, not a regular file, damaged or huge.
    """
    content = read_regular(path, MOST_JSON + 1)
    if len(content) > MOST_JSON:
        raise StorageError(f"{path} is damaged: it holds more than {MOST_JSON >> 20} MiB")
    try:
        return json_text.parse(content)
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from error


def read_regular(path: Path, most: int = -1) -> bytes:
    """Read a regular file whole; a pipe or a device in its place is refused, not waited for.

    Args:
        path: the file.
        most: how many bytes to read at most; all if negative.

    Raises:
        StorageError: the file is missing, unreadable or not a regular file.
    """
    with storage_errors("read", path):
        try:
            with disk.open_regular(path) as file:
                return file.read(most)
        except ValueError as error:
            raise StorageError(f"cannot read {path}: it is not a regular file") from error
