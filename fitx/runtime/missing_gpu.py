"""Explains why TensorFlow sees no GPU: the first missing piece, from build to driver."""

from __future__ import annotations

from dataclasses import dataclass

from fitx.runtime.machine import GpuRequirements, major


@dataclass(frozen=True)
class Absence:
    """The reason why there is no GPU, and the remedy; two clauses without full stops."""

    cause: str
    remedy: str


def explain_absence(gpu: GpuRequirements) -> Absence:
    """Return the first missing requirement; each one depends on those before it."""
    return (
        _build(gpu)
        or _hardware(gpu)
        or _hidden(gpu)
        or _unavailable_in_container(gpu)
        or _driver(gpu)
        or _missing_libraries(gpu)
        or Absence(
            "the driver and the CUDA libraries are there, and TensorFlow did not use them",
            "Read TensorFlow's own messages: `fitx doctor --verbose`",
        )
    )


def _build(gpu: GpuRequirements) -> Absence | None:
    if gpu.system == "Darwin":
        return Absence(
            "TensorFlow for macOS computes on the CPU only",
            "Use a Linux machine with an NVIDIA GPU",
        )
    if gpu.system == "Windows":
        return Absence(
            "TensorFlow for Windows computes on the CPU only",
            "Use WSL 2, where TensorFlow for Linux sees the GPU",
        )
    if not gpu.cuda:
        return Absence(
            "this TensorFlow is built for the CPU only",
            "Uninstall it and run `pip install 'fitx[gpu]'` (Linux, x86-64)",
        )
    return None


def _hardware(gpu: GpuRequirements) -> Absence | None:
    if gpu.kernel_driver:
        return None
    if not gpu.card:
        return Absence(
            "this machine has no NVIDIA GPU",
            "Use a machine that has one; a virtual machine must be given the GPU",
        )
    return Absence(
        "there is an NVIDIA GPU, but its driver is not loaded",
        "Install NVIDIA's driver, version 525 or newer, until `nvidia-smi` lists the GPU",
    )


def _hidden(gpu: GpuRequirements) -> Absence | None:
    first = (gpu.visible or "").split(",")[0].strip()
    if gpu.visible is None or first not in ("", "-1", "NoDevFiles"):
        return None
    return Absence(
        f"CUDA_VISIBLE_DEVICES='{gpu.visible}' hides every GPU",
        "Unset the variable, or set it to the numbers of the GPUs to use, such as 0",
    )


def _unavailable_in_container(gpu: GpuRequirements) -> Absence | None:
    if not gpu.kernel_driver or (gpu.device_files and not gpu.libcuda_error):
        return _closed(gpu)
    lacking = "libcuda.so.1 does not load" if gpu.device_files else "there is no /dev/nvidia0"
    return Absence(
        f"the NVIDIA driver {gpu.kernel_driver} is loaded, but {lacking} here",
        "In a container, start it with the GPU (Docker: --gpus all, Apptainer: --nv); "
        "under SLURM, ask for one (--gres=gpu:1); elsewhere, reinstall the driver",
    )


def _closed(gpu: GpuRequirements) -> Absence | None:
    if not gpu.closed_files or len(gpu.closed_files) < len(gpu.device_files):
        return None
    return Absence(
        f"this user may not open {', '.join(gpu.closed_files)}",
        f"Join the group that `ls -l {gpu.closed_files[0]}` names, and log in again",
    )


def _driver(gpu: GpuRequirements) -> Absence | None:
    if gpu.refusal:
        chosen = f" (CUDA_VISIBLE_DEVICES is '{gpu.visible}')" if gpu.visible else ""
        return Absence(
            f"the NVIDIA driver refuses to start: {gpu.refusal}{chosen}",
            "`nvidia-smi` shows more; after an update of the driver, restart the machine",
        )
    if gpu.driver_cuda and major(gpu.driver_cuda) < major(gpu.cuda):
        return Absence(
            f"the NVIDIA driver supports CUDA {gpu.driver_cuda}, and TensorFlow needs {gpu.cuda}",
            "Install a newer driver, version 525 or later",
        )
    return None


def _missing_libraries(gpu: GpuRequirements) -> Absence | None:
    if not gpu.missing:
        return None
    return Absence(
        f"CUDA libraries that TensorFlow needs are not installed: {', '.join(gpu.missing)}",
        "Run `pip install 'fitx[gpu]'`",
    )
