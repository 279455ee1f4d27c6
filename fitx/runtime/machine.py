"""What a GPU needs on this machine, from TensorFlow's build to the files of the driver."""

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

NVIDIA = "0x10de"  # on the PCI bus


@dataclass(frozen=True)
class Facts:
    """What a GPU needs, from the build of TensorFlow to the files of the driver.

    Attributes:
        system: "Linux", "Darwin" or "Windows".
        cuda: the CUDA version TensorFlow is built for; empty for a build without CUDA.
        card: whether an NVIDIA device is on the PCI bus.
        kernel_driver: version of the loaded NVIDIA kernel module, or empty; under WSL 2
            the driver is Windows' own.
        visible: the variable CUDA_VISIBLE_DEVICES; None when unset.
        device_files: what GPUs are reached through, under /dev.
        closed_files: those of them this user may not open.
        libcuda_error: why the driver's library libcuda.so.1 does not load; empty if it does.
        refusal: what that library says when it is started; empty if it starts.
        driver_cuda: the newest CUDA version that library knows; empty when unknown.
        missing: CUDA libraries that TensorFlow needs and that are not found.
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


def gather(build: Mapping[str, Any]) -> Facts:
    """Collect the facts of this machine.

    Args:
        build: what `tf.sysconfig.get_build_info()` returns.
    """
    cuda = str(build.get("cuda_version", "")) if build.get("is_cuda_build") else ""
    files = tuple(str(file) for file in sorted(Path("/dev").glob("nvidia[0-9]*")) or _wsl())
    libcuda_error, refusal, driver_cuda = _ask_driver()
    needed = _libraries(cuda, str(build.get("cudnn_version", ""))) if not libcuda_error else ()
    driver = driver_version(_read(Path("/proc/driver/nvidia/version")))
    if not driver and not libcuda_error and _wsl():
        driver = "of Windows"
    return Facts(
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
        missing=tuple(name for name in needed if not _loads(name)),
    )


def major(version: str) -> int:
    """Return the first number of a version."""
    return int(version.split(".")[0])


def driver_version(text: str) -> str:
    """Return the version in the text of /proc/driver/nvidia/version; empty for no text."""
    found = re.search(r"(?:Kernel Module|x86_64|aarch64)\s+(\d+(?:\.\d+)+)", text)
    return found[1] if found else ("of unknown version" if text else "")


def _libraries(cuda: str, cudnn: str) -> tuple[str, ...]:
    if not cuda:
        return ()
    toolkit = [f"lib{name}.so.{major(cuda)}" for name in ("cudart", "cublas", "cusparse")]
    return (*toolkit, f"libcudnn.so.{cudnn}")


def _loads(library: str) -> bool:
    """Return whether TensorFlow would find a library: beside itself in `nvidia/`, or anywhere."""
    packages = importlib.util.find_spec("nvidia")
    for folder in (packages.submodule_search_locations if packages else None) or ():
        if any(Path(folder).glob(f"*/lib/{library}")):
            return True
    with suppress(OSError):
        ctypes.CDLL(library)
        return True
    return False


def _ask_driver() -> tuple[str, str, str]:
    """Return why libcuda does not load, what it says when started, and the CUDA it knows."""
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
    """Return the device file through which Linux under WSL 2 reaches the GPU of Windows."""
    device = Path("/dev/dxg")
    return [device] if device.exists() else []


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
