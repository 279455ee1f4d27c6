"""Which device computes: what an experiment asks for, out of what TensorFlow sees."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from fitx.errors import DeviceError
from fitx.runtime.absence import Absence, explain
from fitx.runtime.machine import gather


@dataclass(frozen=True)
class Device:
    """What computes.

    Attributes:
        name: As `tf.device` takes it: `/CPU:0` or `/GPU:0`.
        kind: "cpu" or "gpu".
        models: Of GPUs, what each that TensorFlow sees is called.
        number: Which of them this is.
    """

    name: str
    kind: str
    models: tuple[str, ...] = ()
    number: int = 0

    @property
    def accelerator(self) -> str | None:
        """The GPU's model, by which results may differ in the last bits; None on the CPU."""
        return self.models[self.number] if self.models else None


def choose(asked: str, *, alone: bool = True) -> Device:
    """Return the device that an experiment asks for, and hide every other GPU.

    A process that has used a GPU keeps it visible.

    Args:
        asked: "auto", "cpu", "gpu" or "gpu:N".
        alone: Whether one device is to compute; else every GPU that TensorFlow sees may.

    Raises:
        DeviceError: A GPU is demanded that TensorFlow does not see; says why and what to do.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if asked == "cpu" or (asked == "auto" and not gpus):
        _show([])
        return Device("/CPU:0", "cpu")
    number = int(asked.partition(":")[2] or 0)
    if number >= len(gpus):
        raise DeviceError(refusal(asked, len(gpus)))
    _show(gpus[number : number + 1] if alone else gpus)
    visible = tf.config.get_visible_devices("GPU")
    if gpus[number] not in visible:
        raise DeviceError(
            f"execution.device is '{asked}', but this process has begun to compute elsewhere; "
            "start another one."
        )
    return Device(f"/GPU:{visible.index(gpus[number])}", "gpu", _models(gpus), number)


def refusal(asked: str, count: int) -> str:
    """Return what to say when a GPU is demanded and TensorFlow sees `count`, too few."""
    if count:
        known = "1 GPU, gpu:0" if count == 1 else f"{count} GPUs, gpu:0 to gpu:{count - 1}"
        return f"execution.device is '{asked}', but TensorFlow sees {known}."
    return (
        f"execution.device is '{asked}', but TensorFlow sees no GPU: {why_no_gpu()} "
        "execution.device=auto trains on the CPU; `fitx doctor` shows the whole picture."
    )


def describe(device: Device, asked: str, threads: str) -> str:
    """Return one line on what computes and why.

    Args:
        device: What was chosen.
        asked: The experiment's `execution.device`.
        threads: How many threads the CPU has, in words.
    """
    why = "as execution.device says"
    if device.kind == "cpu":
        missing = f"TensorFlow sees no GPU ({absence().cause})"
        return f"CPU ({threads}): {why if asked == 'cpu' else missing}"
    count = len(device.models)
    seen = "the only GPU" if count == 1 else f"GPU {device.number} of {count}, counted from 0"
    rest = f"memory taken as needed, CPU with {threads}"
    auto = "auto takes a GPU where there is one"
    return f"{device.models[device.number]} ({seen}; {rest}): {auto if asked == 'auto' else why}"


def why_no_gpu() -> str:
    """Return why TensorFlow sees no GPU, and what to do about it; asked where it sees none."""
    found = absence()
    return f"{found.cause}. {found.remedy}."


def absence() -> Absence:
    """Return why TensorFlow sees no GPU, in two clauses."""
    return explain(gather(tf.sysconfig.get_build_info()))


def _show(gpus: list[Any]) -> None:
    # Both raise once TensorFlow has started: then things stay as they are.
    with suppress(RuntimeError):
        tf.config.set_visible_devices(gpus, "GPU")
    with suppress(RuntimeError):
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)


def _models(gpus: list[Any]) -> tuple[str, ...]:
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return tuple(str(detail.get("device_name", "GPU")) for detail in details)
