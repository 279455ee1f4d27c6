"""Process-wide settings: the device, its precision, seeds and determinism. Imports TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
from tensorflow.python.framework import config as determinism
from tensorflow.python.util import _pywrap_util_port as build_flags

from fitx.runtime import cluster, devices
from fitx.runtime import strategy as strategies
from fitx.runtime.devices import why_no_gpu
from fitx.runtime.generated import keep_in_memory
from fitx.runtime.parallelism import set_threads, threads

__all__ = ["Runtime", "onednn", "prepare", "threads", "why_no_gpu"]


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
        strategy: how several devices share a batch: "auto" for one device, "mirrored",
            "multi_worker".
        replicas: how many share it, in all processes.
        is_chief: whether this process is the one to write the run folder.
        accelerator: the GPU's model; None on the CPU.
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
    """Choose the device and set everything that is set once per process.

    Seeds Python, NumPy, TensorFlow and Keras. May be called again: the last call counts, but
    a process that has computed keeps its threads, and a GPU that it has used.

    Args:
        device: "auto" takes a GPU if TensorFlow sees one; "gpu" demands one, "gpu:1" the second;
            "cpu" hides them.
        precision: a Keras dtype policy's name.
        deterministic: demand ops that repeat to the bit, on GPUs too; slower.
        seed: 0 to 2**32 - 1.
        threads: how many an operation may use on the CPU; None leaves that to TensorFlow.
        strategy: "auto" computes on one device; "mirrored" on all GPUs; "multi_worker" together
            with the processes that TF_CONFIG or SLURM names.
        virtual_devices: into how many devices to split the CPU for "mirrored".

    Raises:
        DeviceError: TensorFlow does not see the GPU that is demanded, says why and what to do; or
            the process has started with other threads.
    """
    workers = cluster.read() if strategy == "multi_worker" else None
    count = set_threads(threads)
    chosen = devices.choose("cpu" if virtual_devices else device, alone=strategy == "auto")
    shared = strategies.choose(strategy, chosen.kind, virtual_devices)
    keep_in_memory()
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)
    _demand_determinism(deterministic)
    _compute_as_written()
    said = f"{count} thread{'s' if count != 1 else ''}"
    said += ", as execution.threads says" if threads is not None else ""
    description = devices.describe(chosen, device, said)
    if shared is None:
        alone = Runtime(chosen.name, chosen.kind, description, count, precision)
        return replace(alone, accelerator=chosen.accelerator)
    replicas = shared.num_replicas_in_sync
    what = chosen.models[0] if chosen.models else "CPU"
    virtual = " (virtual)" if virtual_devices else ""
    description = f"{replicas} x {what}{virtual}, {said}: as execution.strategy says"
    is_chief = workers is None or workers.is_chief
    return Runtime(
        *(chosen.name, chosen.kind, description, count, precision),
        *(strategy, replicas, is_chief, chosen.accelerator),
    )


def onednn() -> bool:
    """Return whether oneDNN computes on the CPU; its results differ in the last bits."""
    return bool(build_flags.IsMklEnabled())


def _demand_determinism(wanted: bool) -> None:
    # TensorFlow's public interface can turn it on only.
    if wanted:
        determinism.enable_op_determinism()
    else:
        determinism.disable_op_determinism()


def _compute_as_written() -> None:
    """Keep TensorFlow from putting arithmetic in another order.

    It multiplies constants beforehand in a graph and not in the body of a loop, so that fused
    steps would differ from single ones in the last bit. What that gains was within the noise.
    """
    determinism.set_optimizer_experimental_options(
        {"constant_folding": False, "arithmetic_optimization": False}
    )
