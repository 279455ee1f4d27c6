"""Inspects what a GPU requires on this machine: TensorFlow's build, hardware and driver."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NVIDIA = "0x10de"  # vendor identifier on the PCI bus


@dataclass(frozen=True)
class GpuRequirements:
    """Everything that a GPU requires, as found on this machine.

    Attributes:
        system: "Linux", "Darwin" or "Windows".
        cuda: the CUDA version TensorFlow is built for; empty for a build without CUDA.
        card: whether an NVIDIA device is on the PCI bus.
        kernel_driver: version of the loaded NVIDIA kernel module, or empty; under WSL 2
            the driver is Windows' own.
        visible: the variable CUDA_VISIBLE_DEVICES; None when unset.
        device_files: device files of GPUs, under /dev.
        closed_files: those of them that this user may not open.
        libcuda_error: the error of loading the driver's library libcuda.so.1; empty if it loads.
        refusal: the error of initializing that library; empty if it starts.
        driver_cuda: the newest CUDA version that the driver supports; empty when unknown.
        missing: CUDA libraries that TensorFlow needs and that are not installed.
    """

    system: str = "Linux"
    cuda: str = "12.5"
    card: bool = True
    kernel_driver: str = "580.65"
    visible: str | None = None
    device_files: tuple[str, ...] = ("/dev/nvidia0",)
    closed_files: tuple[str, ...] = ()
    libcuda_error: str = ""
    refusal: str = ""
    driver_cuda: str = "13.0"
    missing: tuple[str, ...] = ()


def inspect_machine(build: Mapping[str, Any]) -> GpuRequirements:
    """Return the state of every requirement on this machine.

    Args:
        build: the result of `tf.sysconfig.get_build_info()`.
    """
    cuda = str(build.get("cuda_version", "")) if build.get("is_cuda_build") else ""
    files = tuple(str(file) for file in sorted(Path("/dev").glob("nvidia[0-9]*")) or _wsl())
    libcuda_error, refusal, driver_cuda = _ask_driver()
    libraries = _libraries(cuda, str(build.get("cudnn_version", ""))) if not libcuda_error else ()
    driver = driver_version(_read(Path("/proc/driver/nvidia/version")))
    if not driver and not libcuda_error and _wsl():
        driver = "of Windows"
    return GpuRequirements(
        system=platform.system(),
        cuda=cuda,
        card=any(_read(file) == NVIDIA for file in Path("/sys/bus/pci/devices").glob("*/vendor")),
        kernel_driver=driver,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        device_files=files,
        closed_files=tuple(file for file in files if not os.access(file, os.R_OK | os.W_OK)),
        libcuda_error=libcuda_error,
        refusal=refusal,
        driver_cuda=driver_cuda,
        missing=tuple(name for name in libraries if not _loads(name)),
    )


def major(version: str) -> int:
    """Return the first number of a version."""
    return int(version.split(".")[0])


def driver_version(text: str) -> str:
    """Return the version in the text of /proc/driver/nvidia/version; empty for no text."""
    match = re.search(r"(?:Kernel Module|x86_64|aarch64)\s+(\d+(?:\.\d+)+)", text)
    return match[1] if match else ("of unknown version" if text else "")


def _libraries(cuda: str, cudnn: str) -> tuple[str, ...]:
    if not cuda:
        return ()
    toolkit = [f"lib{name}.so.{major(cuda)}" for name in ("cudart", "cublas", "cusparse")]
    return (*toolkit, f"libcudnn.so.{cudnn}")


def _loads(library: str) -> bool:
    """Return whether TensorFlow can load a library, from the `nvidia` packages or the system."""
    packages = importlib.util.find_spec("nvidia")
    for folder in (packages.submodule_search_locations if packages else None) or ():
        if any(Path(folder).glob(f"*/lib/{library}")):
            return True
    with suppress(OSError):
        ctypes.CDLL(library)
        return True
    return False


def _ask_driver() -> tuple[str, str, str]:
    """Return libcuda's load error, its initialization error, and the CUDA version it supports."""
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return str(error), "", ""
    number = ctypes.c_int()
    version = ""
    if library.cuDriverGetVersion(ctypes.byref(number)) == 0:
        version = f"{number.value // 1000}.{number.value % 1000 // 10}"
    code = library.cuInit(0)
    if code == 0:
        return "", "", version
    text = ctypes.c_char_p()
    library.cuGetErrorString(code, ctypes.byref(text))
    return "", f"{(text.value or b'unknown error').decode()} (CUDA error {code})", version


def _wsl() -> list[Path]:
    """Return the device file of the Windows GPU under WSL 2, if there is one."""
    device = Path("/dev/dxg")
    return [device] if device.exists() else []


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
