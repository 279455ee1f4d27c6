"""Error messages for lack of memory: the requested and the available amount."""

from __future__ import annotations

import math
import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fitx.errors import OutOfMemory

_TENSOR = re.compile(r"allocating tensor with shape\[([\d,]+)\] and type (\w+)")
_BYTES = re.compile(r"allocate (\d+) ?bytes")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_ITEM_SIZES = {"double": 8, "int64": 8, "float": 4, "int32": 4, "half": 2, "bfloat16": 2}
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_ADVICE = "Lower data.batch_size, the data's or the networks' size, or use a machine with more."


def is_shortage(error: BaseException) -> bool:
    """Return whether an error of Python, NumPy or TensorFlow means that memory has run out."""
    # Compared by name, as some commands never import TensorFlow.
    return isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError"


def out_of_memory(error: BaseException, frames: str = "") -> OutOfMemory:
    """Return the error to raise for a lack of memory.

    It is a DeviceError: on a larger machine the same experiment runs.

    Args:
        error: An error for which `is_shortage` is true.
        frames: The frames of the user's code in its traceback.
    """
    text = str(error)
    places = _FRAME.findall(frames)
    where = f" ({Path(places[-1][0]).name}, line {places[-1][1]})" if places else ""
    # TensorFlow does not report the memory of a GPU.
    has = "" if "GPU" in text else _available()
    return OutOfMemory(f"out of memory: {_requested_size(text)}{where}. {has}{_ADVICE}")


def _requested_size(text: str) -> str:
    """Return the requested amount, from the messages of NumPy, TensorFlow or XLA."""
    tensor, number = _TENSOR.search(text), _BYTES.search(text)
    if tensor:
        shape = [int(size) for size in tensor[1].split(",")]
        size = math.prod(shape) * _ITEM_SIZES.get(tensor[2], 1)
        return f"unable to allocate {_size(size)} for a tensor of shape {shape}, type {tensor[2]}"
    if number:
        return f"unable to allocate {_size(int(number[1]))}"
    lines = text.strip().splitlines()
    return lines[0].rstrip(".") if lines else "no memory left"


def _available() -> str:
    facts = _meminfo()
    limits = list(_limits())
    if not limits:
        return ""
    free = facts.get("MemAvailable")
    free_text = f", {_size(min(free, *limits))} free" if free is not None else ""
    return f"This process has {_size(min(limits))}{free_text}. "


def _meminfo() -> dict[str, int]:
    """Return Linux' memory figures, in bytes by name; {} on other systems."""
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines}
    return {}


def _limits() -> Iterator[int]:
    """Yield the bytes that the user's, the machine's and the container's limits allow."""
    with suppress(OSError, ValueError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        yield limit
    with suppress(OSError, ValueError):
        yield int(Path("/sys/fs/cgroup/memory.max").read_text())


def _size(count: int) -> str:
    """Return a number of bytes in the largest unit of which there is at least one."""
    unit = min(max(count.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{count / (1 << 10 * unit):,.1f} {_UNITS[unit]}" if unit else f"{count} bytes"
