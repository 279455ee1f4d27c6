"""meta.json: the description of a checkpoint, with its own checksum."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fitx import json_text, safe_files
from fitx.errors import StorageError
from fitx.json_model import NOT_FINITE, Count, Model, Sha256, parse_model, shown

FORMAT = 2

LARGEST = 64 << 20
"""The largest meta.json that is read, in bytes: a million variables, parsed in a gigabyte."""


class _Variable(Model):
    path: str
    shape: list[Count]
    dtype: str


class _State(Model):
    sha256: Sha256
    size: Count
    variables: list[_Variable]


class _File(Model):
    """meta.json without its checksum."""

    format: int
    step: Count
    meta: dict[str, Any]
    state: _State


def write(path: Path, step: int, meta: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write meta.json.

    Args:
        path: the file, which must not exist.
        step: training steps done.
        meta: the caller's values.
        state: checksum, size and table of state.npz, as `state_file.write` returns them.

    Raises:
        OSError: the file cannot be written.
        StorageError: it would be larger than `LARGEST`.
        TypeError: `meta` holds a value that JSON cannot.
    """
    about = {"format": FORMAT, "step": step, "meta": _encode(meta), "state": state}
    text = json.dumps(about, sort_keys=True, allow_nan=False)
    if len(text) > LARGEST - 100:
        raise StorageError(f"cannot save a checkpoint with {len(text)} bytes beside its numbers")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    with safe_files.create(path) as file:
        file.write(f'{text[:-1]}, "sha256": "{checksum}"}}\n'.encode())
        safe_files.sync(file)


def read(path: Path, step: int) -> dict[str, Any]:
    """Read meta.json and verify its checksum.

    Returns:
        The keys `step`, `meta` (as it was given to `write`) and `state`.

    Raises:
        OSError: it cannot be read.
        LookupError, TypeError, ValueError: it is damaged, or of another step or format.
    """
    with safe_files.open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > LARGEST:
            raise ValueError(f"meta.json has {size} bytes, more than fitx writes")
        try:
            about = json_text.parse(file.read())
        except ValueError as error:
            raise ValueError(f"meta.json is not JSON: {error}") from error
    if not isinstance(about, dict) or about.pop("sha256", None) != _checksum(about):
        raise ValueError("meta.json does not match its checksum")
    if about.get("format") != FORMAT:
        text = shown(about.get("format"))
        raise ValueError(f"its format is {text}, and this fitx reads {FORMAT}")
    try:
        parse_model(_File, about)
    except ValueError as error:
        raise ValueError(f"meta.json: {error}") from error
    if about["step"] != step:
        raise ValueError(f"it was taken after step {about['step']}, not {step}")
    return {**about, "meta": _decode(about["meta"])}


def _checksum(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _encode(value: Any) -> Any:
    """Return a value as JSON; a float that JSON lacks becomes `{"$float": "nan"}`."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": str(value)}
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$float"}:
        if value["$float"] not in NOT_FINITE:
            raise ValueError(f"meta.json: expected nan, inf or -inf, found {shown(value)}")
        return float(value["$float"])
    return {key: _decode(item) for key, item in value.items()}
