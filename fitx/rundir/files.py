"""Files that are either whole or not there, and errors that name them."""

from __future__ import annotations

import json
import math
import numbers
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
    """Write `value` as indented JSON, atomically; see `plain` for what values may be."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
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


def plain(value: Any) -> Any:
    """Turn a value into what JSON has: NaN and infinities become "nan", "inf" and "-inf".

    Args:
        value: mappings, sequences, sets, strings, numbers (NumPy's too), paths, None.

    Raises:
        TypeError: for anything else.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, Path):
        return str(value)
    return _plain_number(value)


def _plain_number(value: Any) -> Any:
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")
