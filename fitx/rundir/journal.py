"""metrics.jsonl: one JSON object per epoch; an incomplete last line is dropped."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fitx import json_text, safe_files
from fitx.errors import StorageError, UserCodeError
from fitx.json_model import parse_model
from fitx.json_text import json_ready
from fitx.rundir.file_schemas import JournalLine, parse_logged_value
from fitx.rundir.files import read_regular, storage_errors

NAME = "metrics.jsonl"
OWN_KEYS = ("epoch", "step", "seconds")

MAX_BYTES = 1 << 30
"""The largest metrics.jsonl that is read, in bytes; a million epochs take less."""


class Journal:
    """Appends epochs to a run's metrics.jsonl.

    Args:
        run: the run's folder.
        size: continue after this many bytes and drop the rest (a checkpoint stores this number);
            by default after the last complete line.

    Attributes:
        run: the run's folder.
        size: the byte offset after the last line.

    Raises:
        StorageError: the file cannot be opened, is a link, or is shorter than `size`.
    """

    def __init__(self, run: Path, size: int | None = None) -> None:
        self.run, self.path = run, run / NAME
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with storage_errors("write", self.path):
            self._file = os.fdopen(os.open(self.path, flags, 0o666), "wb", buffering=0)
        try:
            with storage_errors("write", self.path):
                safe_files.sync_folder(run)
            self.size = self._cut(size)
        except StorageError:
            self.close()
            raise

    def append(self, epoch: int, step: int, seconds: float, values: dict[str, float]) -> None:
        """Write the line of one epoch in a single call.

        Args:
            epoch: counted from 1.
            step: training steps done since the start of the run.
            seconds: this epoch's wall time.
            values: the logged values; NaN and infinities are written as "nan", "inf", "-inf".

        Raises:
            StorageError: the line cannot be written; the file still ends with a complete line.
            UserCodeError: a value is named `epoch`, `step` or `seconds`.
        """
        reserved_keys = [key for key in OWN_KEYS if key in values]
        if reserved_keys:
            raise UserCodeError(
                f"the step logs a value named '{reserved_keys[0]}', which {NAME} reserves: "
                "rename the value"
            )
        line = json_ready({"epoch": epoch, "step": step, "seconds": seconds, **values})
        self._write(json.dumps(line, allow_nan=False).encode() + b"\n")

    def sync(self) -> None:
        """Flush the lines to the disk; required before a checkpoint that stores `size`.

        Raises:
            StorageError: the disk failed.
        """
        with storage_errors("write", self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._file.close()

    def _cut(self, size: int | None) -> int:
        current_bytes = content(self.run)
        size = _whole_lines(current_bytes) if size is None else size
        if len(current_bytes) < size:
            raise StorageError(
                f"{self.path} is damaged: it has {len(current_bytes)} bytes, and the "
                f"checkpoint expects {size} or more"
            )
        with storage_errors("write", self.path):
            self._file.truncate(size)
        return size

    def _write(self, line: bytes) -> None:
        with storage_errors("write", self.path):
            written = self._file.write(line)
            if written != len(line):
                self._file.truncate(self.size)
                raise StorageError(f"cannot write {self.path}: no space left for a whole line")
        self.size += len(line)


def read(run: Path) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl, non-finite values as floats again.

    An incomplete last line, left by a power cut, is ignored.

    Raises:
        StorageError: the file is missing, unreadable or damaged; names the line.
    """
    file_bytes = content(run)
    lines = file_bytes[: _whole_lines(file_bytes)].splitlines()
    return [
        parse_line(line, f"{run / NAME}:{number}") for number, line in enumerate(lines, start=1)
    ]


def content(run: Path) -> bytes:
    """Return all of metrics.jsonl.

    Raises:
        StorageError: the file is missing, unreadable, not a regular file, or huge.
    """
    path = run / NAME
    current_bytes = read_regular(path, MAX_BYTES + 1)
    if len(current_bytes) > MAX_BYTES:
        raise StorageError(f"{path} is damaged: it holds more than {MAX_BYTES >> 20} MiB")
    return current_bytes


def parse_line(line: bytes, where: str) -> dict[str, Any]:
    """Return one parsed line of metrics.jsonl, non-finite values as floats again.

    Raises:
        StorageError: it is damaged; with its place and the wrong field.
    """
    try:
        parsed_line = json_text.parse(line)
        parse_model(JournalLine, parsed_line)
    except ValueError as error:
        raise StorageError(f"{where} is damaged: {error}") from error
    return {key: parse_logged_value(value) for key, value in parsed_line.items()}


def last_value_by_name(run: Path) -> dict[str, float]:
    """Return the last logged value of every name. Raises the same errors as `read`."""
    values = {name: value for line in read(run) for name, value in line.items()}
    return {name: value for name, value in values.items() if name not in OWN_KEYS}


def last_values(lines: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the logged values of the last line."""
    line = lines[-1] if lines else {}
    return {name: value for name, value in line.items() if name not in OWN_KEYS}


def history(lines: Sequence[dict[str, Any]]) -> tuple[list[int], dict[str, list[float]]]:
    """Return the epochs of the lines, from 0, and their values, as Keras' `History` has them."""
    values: dict[str, list[float]] = {}
    for line in lines:
        for name, value in last_values([line]).items():
            values.setdefault(name, []).append(value)
    return [line["epoch"] - 1 for line in lines], values


def _whole_lines(content: bytes) -> int:
    return content.rfind(b"\n") + 1
