"""Atomic writes, safe reads, and errors that name the file."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fitx import json_text, safe_files
from fitx.errors import StorageError


@contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Turn an `OSError` of the block into "cannot <action> <path>: <reason>".

    Raises:
        StorageError: for any `OSError` raised inside.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(f"cannot {action} {path}: {error.strerror or error}") from error


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace a file so that a reader sees either the old or the new content, never a mixture.

    The bytes reach the disk before the name does (write, fsync, rename, fsync of the folder).

    Args:
        path: the file; an existing file is replaced, and so is a link, which is not followed.
        data: the whole content; text is written as UTF-8.

    Raises:
        StorageError: the file is unchanged, and no temporary file remains.
    """
    content = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    with storage_errors("write", path):
        try:
            with safe_files.create(temporary) as file:
                file.write(content)
                safe_files.sync(file)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        safe_files.sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically; `json_text.json_ready` says what it may be."""
    text = json.dumps(json_text.json_ready(value), indent=2, ensure_ascii=False, allow_nan=False)
    # Command-line words can contain bytes that are not UTF-8: they are written as escapes.
    write_atomically(path, (text + "\n").encode("utf-8", "backslashreplace"))


MAX_JSON_BYTES = 1 << 26
"""The largest JSON document that is read, in bytes; a run's documents have thousands."""


def read_json(path: Path) -> Any:
    """Read one JSON document.

    Raises:
        StorageError: the file is missing, unreadable, not a regular file, damaged or huge.
    """
    content = read_regular(path, MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise StorageError(f"{path} is damaged: it holds more than {MAX_JSON_BYTES >> 20} MiB")
    try:
        return json_text.parse(content)
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from error


def read_regular(path: Path, most: int = -1) -> bytes:
    """Read a regular file; a pipe or a device is refused instead of waited for.

    Args:
        path: the file.
        most: the maximum number of bytes to read; all if negative.

    Raises:
        StorageError: the file is missing, unreadable or not a regular file.
    """
    with storage_errors("read", path):
        try:
            with safe_files.open_regular(path) as file:
                return file.read(most)
        except ValueError as error:
            raise StorageError(f"cannot read {path}: it is not a regular file") from error
