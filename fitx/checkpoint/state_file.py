"""state.npz: the arrays, stored as `v00017.npy` and so on; meta.json maps these names to variables.

`numpy.load` opens it, but for dtypes that NumPy lacks: bfloat16 and its like are stored as
unsigned integers of their size.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import ml_dtypes
import numpy as np

from fitx import safe_files
from fitx.errors import StorageError

Array = np.ndarray[Any, Any]
State = dict[str, Array]

PIECE = 4 << 20
"""The number of bytes that are hashed and written at once, without the interpreter's lock."""

MOST_AROUND = 4096
"""The overhead of one variable in state.npz, in bytes: headers and entries of the archive."""

NUMPY_DTYPES = frozenset(
    ["bool", "complex64", "complex128", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)


def write(path: Path, state: Mapping[str, Array]) -> dict[str, Any]:
    """Write the arrays and return the values that `read` needs to verify them.

    Equal states make equal files, byte for byte.

    Returns:
        `sha256` and `size` (bytes) of the file, and `variables`: path, shape and dtype of
        each array, in the file's order.

    Raises:
        OSError: the file cannot be written.
        StorageError: an array does not hold numbers.
    """
    variables = []
    with safe_files.create(path) as file:
        hashed = _Hashed(file)
        stream = io.BufferedWriter(hashed, PIECE)
        with zipfile.ZipFile(cast(IO[bytes], stream), "w") as archive:
            for index, (name, value) in enumerate(sorted(state.items())):
                array = np.asarray(value, order="C")
                _write_array(archive, _member(index), _storable(array, name))
                entry = {"path": name, "shape": list(array.shape), "dtype": array.dtype.name}
                variables.append(entry)
        stream.flush()
        safe_files.sync(file)
    return {"sha256": hashed.sha256.hexdigest(), "size": hashed.size, "variables": variables}


def read(file: io.BufferedReader, about: dict[str, Any]) -> State:
    """Read the arrays, each checked against the table before it is allocated.

    Raises:
        Exception: the kinds that `fitx.checkpoint.load` tells as damage.
    """
    state = {}
    for stream, entry in _arrays(file, about):
        dtype = _listed_dtype(entry)
        array = np.frombuffer(bytearray(stream.read()), _stored_dtype(dtype))
        state[entry["path"]] = array.reshape(tuple(entry["shape"])).view(dtype)
    return state


def verify(file: io.BufferedReader, about: dict[str, Any]) -> None:
    """Do the same checks as `read` in bounded memory, without keeping arrays.

    Raises:
        Exception: As `read`.
    """
    for _ in _arrays(file, about):
        pass


class _Hashed(io.RawIOBase):
    """A file that counts and hashes the bytes written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self.file = file
        self.sha256 = hashlib.sha256()
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self.file.write(data)


def _write_array(archive: zipfile.ZipFile, name: str, array: Array) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    # An explicit ZipInfo has a fixed time, unlike a name.
    with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as target:
        target.write(header.getvalue())
        # Written in one call and without a copy, so that other threads continue meanwhile.
        target.write(array.reshape(-1).view(np.uint8).data)


def _arrays(
    file: io.BufferedReader, about: dict[str, Any]
) -> Iterator[tuple[IO[bytes], dict[str, Any]]]:
    """Yield each array's bytes, to be read, and its line of the table, both verified."""
    size = os.fstat(file.fileno()).st_size
    if size != about["size"]:
        raise ValueError(f"state.npz has {size} bytes and had {about['size']}")
    # Checked before the file, which may be of any size, is hashed.
    listed = sum(map(_listed_bytes, about["variables"]))
    if size > listed + (1 + len(about["variables"])) * MOST_AROUND:
        raise ValueError(f"state.npz has {size} bytes, and the variables listed have {listed}")
    if hashlib.file_digest(file, "sha256").hexdigest() != about["sha256"]:
        raise ValueError("state.npz does not match its checksum")
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        expected = [_member(index) for index in range(len(about["variables"]))]
        if [member.filename for member in members] != expected:
            raise ValueError("state.npz does not hold the variables that meta.json lists")
        # Entries that share bytes would take a multiple of the file's size in memory.
        if sum(member.compress_size for member in members) > size:
            raise ValueError("state.npz claims to hold more than it has bytes")
        names = [entry["path"] for entry in about["variables"]]
        if len(set(names)) < len(names):
            raise ValueError("meta.json lists a variable twice")
        for member, entry in zip(members, about["variables"], strict=True):
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"'{entry['path']}' is compressed")
            with archive.open(member) as stream:
                _check_array(stream, member.file_size, entry)
                yield stream, entry


def _listed_bytes(entry: dict[str, Any]) -> int:
    return int(math.prod(entry["shape"])) * _stored_dtype(_listed_dtype(entry)).itemsize


def _check_array(stream: IO[bytes], size: int, entry: dict[str, Any]) -> None:
    dtype, shape = _listed_dtype(entry), tuple(entry["shape"])
    stored = _stored_dtype(dtype)
    if _read_header(stream, entry["path"]) != (shape, False, stored):
        raise ValueError(f"'{entry['path']}' is not the {dtype.name}{list(shape)} listed")
    if size - stream.tell() != math.prod(shape) * stored.itemsize:
        raise ValueError(f"'{entry['path']}' has too few or too many bytes")


def _read_header(stream: IO[bytes], path: str) -> tuple[Any, ...]:
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError("written in another version of the format")
        return np.lib.format.read_array_header_1_0(stream)
    except Exception as error:
        # NumPy parses the header as a Python literal and does not catch the errors of the parser.
        raise ValueError(f"'{path}' has no array header of format 1.0") from error


def _listed_dtype(entry: dict[str, Any]) -> np.dtype[Any]:
    try:
        return _dtype(entry["dtype"])
    except ValueError as error:
        raise ValueError(f"'{entry['path']}': {error}") from error


def _storable(array: Array, name: str) -> Array:
    try:
        dtype = _dtype(array.dtype.name)
    except ValueError as error:
        raise StorageError(f"cannot save '{name}' in a checkpoint: {error}") from error
    return array.astype(dtype, copy=False).view(_stored_dtype(dtype))


def _stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if dtype.name in NUMPY_DTYPES else np.dtype(f"u{dtype.itemsize}")


def _dtype(name: Any) -> np.dtype[Any]:
    if name in NUMPY_DTYPES:
        return np.dtype(str(name))
    scalar = getattr(ml_dtypes, str(name), None)
    if isinstance(scalar, type) and issubclass(scalar, np.generic):
        return np.dtype(scalar)
    raise ValueError(f"its dtype is {name}, which is no number's")


def _member(index: int) -> str:
    return f"v{index:05d}.npy"
