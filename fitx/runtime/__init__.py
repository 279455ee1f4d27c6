"""Process-wide settings: the device, its precision, seeds and determinism. Imports TensorFlow."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import config as determinism
from tensorflow.python.util import _pywrap_util_port as build_flags

from fitx.errors import DeviceError
from fitx.runtime.absence import Absence, explain
from fitx.runtime.machine import gather


@dataclass(frozen=True)
class Runtime:
    """What computes, as it was chosen.

    Attributes:
        device: its name for `tf.device`: `/CPU:0` or `/GPU:0`.
        kind: "cpu" or "gpu".
        description: what was chosen and why, as printed.
        threads: how many threads one operation may use on the CPU; results repeat to the bit
            only under the same number.
        precision: the Keras dtype policy: "float32", "mixed_bfloat16", ...
    """

    device: str
    kind: str
    description: str
    threads: int
    precision: str


def prepare(*, device: str, precision: str, deterministic: bool, seed: int) -> Runtime:
    """Choose the device and set everything that is set once per process.

    Seeds Python, NumPy, TensorFlow and Keras. May be called again: the last call counts, but
    a process that has used its GPUs keeps them visible.

    Args:
        device: "auto" takes a GPU if TensorFlow sees one; "gpu" demands one; "cpu" hides them.
        precision: a Keras dtype policy's name.
        deterministic: demand ops that repeat to the bit, on GPUs too; slower.
        seed: 0 to 2**32 - 1.

    Raises:
        DeviceError: "gpu", and TensorFlow sees none; says why and what to do.
    """
    gpus = _take_gpus() if device in ("auto", "gpu") else _hide_gpus()
    if device == "gpu" and not gpus:
        raise DeviceError(
            f"execution.device is 'gpu', but TensorFlow sees no GPU: {why_no_gpu()} "
            "execution.device=auto trains on the CPU; `fitx doctor` shows the whole picture."
        )
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    _demand_determinism(deterministic)
    kind = "gpu" if gpus else "cpu"
    description = _describe_gpus(gpus) if gpus else _describe_cpu(device)
    return Runtime(f"/{kind.upper()}:0", kind, description, threads(), precision)


def why_no_gpu() -> str:
    """Return why TensorFlow sees no GPU, and what to do about it; asked where it sees none."""
    absence = _absence()
    return f"{absence.cause}. {absence.remedy}."


def threads() -> int:
    """Return how many threads one operation may use on the CPU."""
    asked = tf.config.threading.get_intra_op_parallelism_threads()
    if asked:
        return int(asked)
    with suppress(KeyError, ValueError):
        return int(os.environ["TF_NUM_INTRAOP_THREADS"])
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def onednn() -> bool:
    """Return whether oneDNN computes on the CPU; its results differ in the last bits."""
    return bool(build_flags.IsMklEnabled())


def _absence() -> Absence:
    return explain(gather(tf.sysconfig.get_build_info()))


def _take_gpus() -> list[Any]:
    gpus = tf.config.list_physical_devices("GPU")
    # Both raise once TensorFlow has started: then things stay as they are.
    with suppress(RuntimeError):
        tf.config.set_visible_devices(gpus, "GPU")
    with suppress(RuntimeError):
        for one in gpus:
            tf.config.experimental.set_memory_growth(one, True)
    return list(tf.config.get_visible_devices("GPU"))


def _hide_gpus() -> list[Any]:
    with suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
    return []


def _demand_determinism(wanted: bool) -> None:
    # TensorFlow's public interface can turn it on only.
    if wanted:
        determinism.enable_op_determinism()
    else:
        determinism.disable_op_determinism()


def _describe_gpus(gpus: list[Any]) -> str:
    details = [tf.config.experimental.get_device_details(one) for one in gpus]
    names = [detail.get("device_name", "GPU") for detail in details]
    more = f" (the first of {len(names)})" if len(names) > 1 else ""
    return f"GPU: {names[0]}{more}"


def _describe_cpu(device: str) -> str:
    count = threads()
    cpu = f"CPU ({count} thread{'s' if count != 1 else ''})"
    if device == "cpu":
        return f"{cpu}: as execution.device says"
    return f"{cpu}: TensorFlow sees no GPU ({_absence().cause})"
