"""Arrays from a file that `numpy.savez` wrote."""

import difflib
import math
import zipfile
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from fitx.data.prepare import aligned
from fitx.data.splits import NAMES, PARTS, Split, Splits
from fitx.datasets import register
from fitx.errors import DataError

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_CHUNK = 1 << 20
"""Bytes that are read at a time."""

Names: TypeAlias = dict[str, str | list[str]]
"""The names of the arrays of x, y and sample_weight."""

# What deflate can shrink data to at the very best (zlib's manual, "Maximum Expansion Factor").
_DEFLATE_LIMIT = 1032


@register
def npz(
    *,
    path: Path,
    x: str | list[str] = "x",
    y: str | list[str] = "y",
    sample_weight: str | list[str] = "sample_weight",
) -> Splits:
    """Return the arrays of an .npz file, as they are.

    `x`, and optionally `y` and `sample_weight`, are 'train'. `x_validation`, `y_validation`,
    `sample_weight_validation` and `x_test`, `y_test`, `sample_weight_test` are the other splits.
    With other names, `_validation` and `_test` follow these; arrays without a name here are left
    out. Nothing in the file is ever unpickled, so no file can run code.

    Args:
        path: The file; in an experiment, relative to the folder of the file that names it.
        x: Name of the array of inputs; a list of names makes a dictionary of arrays by name, for
            a network with several inputs.
        y: Name of the array of labels, or a list of names, for a network with several outputs.
        sample_weight: Name of the array of weights, or a list of names.

    Raises:
        DataError: If the file or an array in it cannot be read; names both.
    """
    file, name = Path(path), str(path)
    names = {"x": x, "y": y, "sample_weight": sample_weight}
    try:
        _check_file(file, name)
        arrays = _read(file, name, names)
    except (DataError, MemoryError):
        raise
    except Exception as error:
        # Of damaged bytes zipfile, zlib and numpy raise a dozen kinds of exceptions.
        raise DataError(
            f"npz '{name}': it cannot be read ({error}); expected a file written by numpy.savez."
        ) from error
    return _splits(arrays, names)


def _check_file(file: Path, path: str) -> None:
    if file.is_file():
        return
    if file.exists():
        raise DataError(f"npz '{path}': it is not a file; expected one written by numpy.savez.")
    beside = sorted(other.name for other in file.parent.glob("*.npz"))
    raise DataError(
        f"npz '{path}': there is no such file in {file.parent.resolve()}."
        f"{_did_you_mean(file.name, beside)}"
    )


def _read(file: Path, path: str, names: Names) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        _check_names([_array_name(info) for info in archive.infolist()], path, names)
        members = {_array_name(info): info for info in archive.infolist()}
        members = {name: members[name] for name in _known(names) if name in members}
        for name, info in members.items():
            if info.flag_bits & 1:
                raise DataError(f"npz '{path}': array '{name}' is encrypted; store it plainly.")
            with archive.open(info) as member:
                largest = min(info.compress_size, file.stat().st_size) * _growth(info)
                _check_header(member, largest, f"npz '{path}': array '{name}'")
        return {name: _read_member(archive, info) for name, info in members.items()}


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """Read an array to where TensorFlow takes it without a copy; the archive checks its CRC."""
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        shape, is_fortran, dtype = _HEADERS[version](member)
        array = aligned(shape[::-1] if is_fortran else shape, dtype)
        memory, filled = array.reshape(-1).view(np.uint8), 0
        while chunk := member.read(_CHUNK):
            if filled + len(chunk) > memory.size:
                raise ValueError(f"'{info.filename}' holds more than its array")
            memory[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
            filled += len(chunk)
        if filled < memory.size:
            raise ValueError(f"'{info.filename}' ends within its array")
        return array.T if is_fortran else array


def _growth(info: zipfile.ZipInfo) -> int:
    return 1 if info.compress_type == zipfile.ZIP_STORED else _DEFLATE_LIMIT


def _array_name(info: zipfile.ZipInfo) -> str:
    return info.filename.removesuffix(".npy")


def _known(names: Names) -> dict[str, str]:
    """Return the split of every array that may be in the file, by the name of the array."""
    all_names = [name for part in PARTS for name in _list(names[part])]
    return {_of_split(name, split): split for split in NAMES for name in all_names}


def _of_split(name: str, split: str) -> str:
    return name if split == "train" else f"{name}_{split}"


def _list(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _check_names(found: list[str], path: str, names: Names) -> None:
    known = _known(names)
    chosen = [name for part in PARTS if names[part] != part for name in _list(names[part])]
    holds = f"; it holds {', '.join(found)}" if found else "; the file holds no arrays"
    for name in found:
        if name not in known and not chosen:
            raise DataError(
                f"npz '{path}': array '{name}' is unknown; known are {', '.join(known)}."
                f"{_did_you_mean(name, list(known))}"
            )
        if found.count(name) > 1:
            raise DataError(f"npz '{path}': array '{name}' is there twice. The file is damaged.")
    for name in chosen:
        if name not in found:
            near = _did_you_mean(name, found)
            raise DataError(f"npz '{path}': array '{name}' is missing{holds}.{near}")
    for name in (name for name in found if name in known):
        needed = [_of_split(x, known[name]) for x in _list(names["x"])]
        for missing in (x for x in needed if x not in found):
            text = f"array '{missing}' is missing, but '{name}' is there."
            raise DataError(f"npz '{path}': {text}")
    for name in _list(names["x"]):
        if name not in found:
            raise DataError(f"npz '{path}': array '{name}' is missing{holds}.")


def _check_header(member: IO[bytes], largest: int, where: str) -> None:
    """Refuse, before memory is taken, what is no array of numbers or is larger than it can be."""
    try:
        version = np.lib.format.read_magic(member)
        if version not in _HEADERS:
            text = f"{where} has version {version} of the .npy format; expected 1.0 or 2.0."
            raise DataError(text)
        shape, _, dtype = _HEADERS[version](member)
    except ValueError as error:
        raise DataError(f"{where} does not begin like one. The file is damaged.") from error
    if dtype.kind not in "biuf":
        raise DataError(f"{where} has dtype {dtype}; expected numbers.")
    declared = math.prod(shape) * dtype.itemsize
    if declared > largest:
        raise DataError(
            f"{where} claims shape {shape} of {dtype}, which is {declared:,} bytes; what the file "
            f"has for it cannot be more than {largest:,}. The file is damaged."
        )


def _splits(arrays: dict[str, np.ndarray], names: Names) -> Splits:
    splits = {}
    for split in NAMES:
        parts: dict[str, Any] = {}
        for part, name in names.items():
            by_name = {
                n: arrays[_of_split(n, split)] for n in _list(name) if _of_split(n, split) in arrays
            }
            if by_name:
                parts[part] = by_name[name] if isinstance(name, str) else by_name
        if parts:
            splits[split] = Split(**parts)
    return splits


def _did_you_mean(name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" Did you mean '{nearest[0]}'?" if nearest else ""
