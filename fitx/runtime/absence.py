"""Why TensorFlow sees no GPU: the first thing that is missing on the way to one."""

from __future__ import annotations

from dataclasses import dataclass

from fitx.runtime.machine import Facts, major


@dataclass(frozen=True)
class Absence:
    """Why there is no GPU, and what the user can do; two clauses without full stops."""

    cause: str
    remedy: str


def explain(facts: Facts) -> Absence:
    """Return the first thing that keeps TensorFlow from a GPU; each later one needs the earlier."""
    return (
        _build(facts)
        or _hardware(facts)
        or _hidden(facts)
        or _passed_through(facts)
        or _driver(facts)
        or _missing_libraries(facts)
        or Absence(
            "the driver and the CUDA libraries are there, and TensorFlow did not take them",
            "Its own messages say why: `fitx doctor --verbose`",
        )
    )


def _build(facts: Facts) -> Absence | None:
    if facts.system == "Darwin":
        return Absence(
            "TensorFlow for macOS computes on the CPU only",
            "Use a Linux machine with an NVIDIA GPU",
        )
    if facts.system == "Windows":
        return Absence(
            "TensorFlow for Windows computes on the CPU only",
            "Use WSL 2, where TensorFlow for Linux sees the GPU",
        )
    if not facts.cuda:
        return Absence(
            "this TensorFlow is built for the CPU only",
            "Uninstall it and run `pip install 'fitx[gpu]'` (Linux, x86-64)",
        )
    return None


def _hardware(facts: Facts) -> Absence | None:
    if facts.kernel_driver:
        return None
    if not facts.card:
        return Absence(
            "this machine has no NVIDIA GPU",
            "Use a machine that has one; a virtual machine must be given the GPU",
        )
    return Absence(
        "there is an NVIDIA GPU, but its driver is not loaded",
        "Install NVIDIA's driver, version 525 or newer, until `nvidia-smi` lists the GPU",
    )


def _hidden(facts: Facts) -> Absence | None:
    first = (facts.visible or "").split(",")[0].strip()
    if facts.visible is None or first not in ("", "-1", "NoDevFiles"):
        return None
    return Absence(
        f"CUDA_VISIBLE_DEVICES='{facts.visible}' hides every GPU",
        "Unset the variable, or set it to the numbers of the GPUs to use, such as 0",
    )


def _passed_through(facts: Facts) -> Absence | None:
    if not facts.kernel_driver or (facts.device_files and not facts.libcuda_error):
        return _closed(facts)
    lacking = "libcuda.so.1 does not load" if facts.device_files else "there is no /dev/nvidia0"
    return Absence(
        f"the NVIDIA driver {facts.kernel_driver} is loaded, but {lacking} here",
        "In a container, start it with the GPU (Docker: --gpus all, Apptainer: --nv); "
        "under SLURM, ask for one (--gres=gpu:1); elsewhere, reinstall the driver",
    )


def _closed(facts: Facts) -> Absence | None:
    if not facts.closed_files or len(facts.closed_files) < len(facts.device_files):
        return None
    return Absence(
        f"this user may not open {', '.join(facts.closed_files)}",
        f"Join the group that `ls -l {facts.closed_files[0]}` names, and log in again",
    )


def _driver(facts: Facts) -> Absence | None:
    if facts.refusal:
        chosen = f" (CUDA_VISIBLE_DEVICES is '{facts.visible}')" if facts.visible else ""
        return Absence(
            f"the NVIDIA driver refuses to start: {facts.refusal}{chosen}",
            "`nvidia-smi` tells more; after an update of the driver, restart the machine",
        )
    if facts.driver_cuda and major(facts.driver_cuda) < major(facts.cuda):
        return Absence(
            f"the NVIDIA driver knows CUDA {facts.driver_cuda}, and TensorFlow needs {facts.cuda}",
            "Install a newer driver, version 525 or later",
        )
    return None


def _missing_libraries(facts: Facts) -> Absence | None:
    if not facts.missing:
        return None
    return Absence(
        f"CUDA libraries that TensorFlow needs are not installed: {', '.join(facts.missing)}",
        "Run `pip install 'fitx[gpu]'`",
    )
