"""Chooses the device that an experiment asks for among those that TensorFlow sees."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from fitx.errors import DeviceError
from fitx.runtime.machine import inspect_machine
from fitx.runtime.missing_gpu import Absence, explain_absence


@dataclass(frozen=True)
class Device:
    """A chosen device.

    Attributes:
        name: As `tf.device` takes it: `/CPU:0` or `/GPU:0`.
        kind: "cpu" or "gpu".
        models: Names of all GPUs that TensorFlow sees; empty on the CPU.
        number: The index of this GPU among them.
    """

    name: str
    kind: str
    models: tuple[str, ...] = ()
    number: int = 0

    @property
    def accelerator(self) -> str | None:
        """The GPU's model, on which the last bits of results depend; None on the CPU."""
        return self.models[self.number] if self.models else None


def choose_device(requested_device: str, *, alone: bool = True) -> Device:
    """Return the device that an experiment asks for, and hide every other GPU.

    A GPU that the process has used stays visible.

    Args:
        requested_device: "auto", "cpu", "gpu" or "gpu:N".
        alone: Whether to compute on one device; else every GPU that TensorFlow sees is used.

    Raises:
        DeviceError: TensorFlow does not see the required GPU; with the cause and the remedy.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if requested_device == "cpu" or (requested_device == "auto" and not gpus):
        _show([])
        return Device("/CPU:0", "cpu")
    number = int(requested_device.partition(":")[2] or 0)
    if number >= len(gpus):
        raise DeviceError(no_such_gpu(requested_device, len(gpus)))
    _show(gpus[number : number + 1] if alone else gpus)
    visible = tf.config.get_visible_devices("GPU")
    if gpus[number] not in visible:
        raise DeviceError(
            f"execution.device is '{requested_device}', but this process already computes on "
            "another device; start a new process."
        )
    return Device(f"/GPU:{visible.index(gpus[number])}", "gpu", _models(gpus), number)


def no_such_gpu(requested_device: str, count: int) -> str:
    """Return the error message for a required GPU where TensorFlow sees only `count`."""
    if count:
        gpu_names = "1 GPU, gpu:0" if count == 1 else f"{count} GPUs, gpu:0 to gpu:{count - 1}"
        return f"execution.device is '{requested_device}', but TensorFlow sees {gpu_names}."
    return (
        f"execution.device is '{requested_device}', but TensorFlow sees no GPU: {why_no_gpu()} "
        "execution.device=auto trains on the CPU; `fitx doctor` shows the details."
    )


def describe_device(device: Device, requested_device: str, threads: str) -> str:
    """Return one line for people: the device, and the reason for the choice.

    Args:
        device: The chosen device.
        requested_device: The experiment's `execution.device`.
        threads: The number of CPU threads, in words.
    """
    reason = "as execution.device says"
    if device.kind == "cpu":
        missing = f"TensorFlow sees no GPU ({absence().cause})"
        return f"CPU ({threads}): {reason if requested_device == 'cpu' else missing}"
    count = len(device.models)
    seen = "the only GPU" if count == 1 else f"GPU {device.number} of {count}, counted from 0"
    rest = f"memory taken as needed, CPU with {threads}"
    auto = "auto uses a GPU if there is one"
    reason = auto if requested_device == "auto" else reason
    return f"{device.models[device.number]} ({seen}; {rest}): {reason}"


def why_no_gpu() -> str:
    """Return the reason why TensorFlow sees no GPU, and the remedy, as two sentences."""
    reason = absence()
    return f"{reason.cause}. {reason.remedy}."


def absence() -> Absence:
    """Return the reason why TensorFlow sees no GPU, and the remedy."""
    return explain_absence(inspect_machine(tf.sysconfig.get_build_info()))


def _show(gpus: list[Any]) -> None:
    # Both raise once TensorFlow has started, and then nothing changes.
    with suppress(RuntimeError):
        tf.config.set_visible_devices(gpus, "GPU")
    with suppress(RuntimeError):
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)


def _models(gpus: list[Any]) -> tuple[str, ...]:
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return tuple(str(detail.get("device_name", "GPU")) for detail in details)
