"""Configures TensorFlow once per process: device, precision, seeds, threads, determinism."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import tensorflow as tf

from fitx.compat import execution_flags
from fitx.compat.autograph_sources import keep_in_memory
from fitx.runtime import cluster, devices
from fitx.runtime.cpu_threads import set_threads, threads
from fitx.runtime.devices import why_no_gpu
from fitx.runtime.strategy import choose_strategy

__all__ = ["Runtime", "prepare", "threads", "why_no_gpu"]


@dataclass(frozen=True)
class Runtime:
    """The devices that compute, and how.

    Attributes:
        device: name for `tf.device`: `/CPU:0` or `/GPU:0`.
        kind: "cpu" or "gpu".
        description: one line for people: the device and the reason for the choice.
        threads: CPU threads that one operation may use; results repeat to the bit only with
            the same number.
        precision: the Keras dtype policy: "float32", "mixed_bfloat16", ...
        strategy: how devices share a batch: "auto" for one device, "mirrored",
            "multi_worker".
        replicas: number of devices that share a batch, in all processes.
        is_chief: whether this process writes the run folder.
        accelerator: the GPU's model; None on the CPU.
        distribution: TensorFlow's strategy; None for one device.
    """

    device: str
    kind: str
    description: str
    threads: int
    precision: str
    strategy: str = "auto"
    replicas: int = 1
    is_chief: bool = True
    accelerator: str | None = None
    distribution: tf.distribute.Strategy | None = field(default=None, compare=False)

    def scope(self) -> AbstractContextManager[Any]:
        """Return the context in which networks, steps and optimizers are to be built."""
        if self.distribution is None:
            return nullcontext()
        context: AbstractContextManager[Any] = self.distribution.scope()
        return context


def prepare(
    *,
    device: str,
    precision: str,
    deterministic: bool,
    seed: int,
    threads: int | None = None,
    strategy: str = "auto",
    virtual_devices: int | None = None,
) -> Runtime:
    """Choose the device and apply the settings that hold for the whole process.

    Seeds Python, NumPy, TensorFlow and Keras. May be called again, and the last call counts;
    but once TensorFlow has started, its threads and visible GPUs stay.

    Args:
        device: "auto" takes a GPU if TensorFlow sees one; "gpu" requires one, "gpu:1" the second;
            "cpu" hides them.
        precision: a Keras dtype policy's name.
        deterministic: use only operations that repeat to the bit, on GPUs too; slower.
        seed: 0 to 2**32 - 1.
        threads: CPU threads that one operation may use; None leaves that to TensorFlow.
        strategy: "auto" computes on one device; "mirrored" on all GPUs; "multi_worker" together
            with the processes that TF_CONFIG or SLURM names.
        virtual_devices: number of virtual devices to split the CPU into, for "mirrored".

    Raises:
        DeviceError: TensorFlow does not see a required GPU (with the cause and the remedy), or
            has already started with other threads.
    """
    workers = cluster.read_cluster() if strategy == "multi_worker" else None
    count = set_threads(threads)
    chosen = devices.choose_device("cpu" if virtual_devices else device, alone=strategy == "auto")
    distribution = choose_strategy(strategy, chosen.kind, virtual_devices)
    keep_in_memory()
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    execution_flags.set_determinism(deterministic)
    _compute_as_written()
    threads_text = f"{count} thread{'s' if count != 1 else ''}"
    threads_text += ", as execution.threads says" if threads is not None else ""
    description = devices.describe_device(chosen, device, threads_text)
    if distribution is None:
        alone = Runtime(chosen.name, chosen.kind, description, count, precision)
        return replace(alone, accelerator=chosen.accelerator)
    replicas = distribution.num_replicas_in_sync
    model = chosen.models[0] if chosen.models else "CPU"
    virtual = " (virtual)" if virtual_devices else ""
    description = f"{replicas} x {model}{virtual}, {threads_text}: as execution.strategy says"
    is_chief = workers is None or workers.is_chief
    return Runtime(
        *(chosen.name, chosen.kind, description, count, precision),
        *(strategy, replicas, is_chief, chosen.accelerator, distribution),
    )


def _compute_as_written() -> None:
    """Keep TensorFlow from reordering arithmetic.

    It folds constants in a graph but not in the body of a loop, so fused steps would differ from
    single ones in the last bit. The measured gain of folding was within the noise.
    """
    tf.config.optimizer.set_experimental_options(
        {"constant_folding": False, "arithmetic_optimization": False}
    )
