"""Chooses the distribution strategy: one device, all of this machine, or several machines.

TensorFlow allows one strategy of a kind per process: `_join_workers` and `_mirrored_over` keep
the one that they made.
"""

from __future__ import annotations

import signal
import threading
from functools import cache

import tensorflow as tf

from fitx.errors import DeviceError


def choose_strategy(
    name: str, kind: str, virtual_devices: int | None
) -> tf.distribute.Strategy | None:
    """Return the strategy that an experiment asks for; None for one device.

    Args:
        name: "auto" for one device, "mirrored" or "multi_worker".
        kind: The kind of device: "cpu" or "gpu".
        virtual_devices: Number of virtual devices to split the CPU into; None does not split it.

    Raises:
        DeviceError: TensorFlow has already started with other devices, or the workers cannot
            connect.
    """
    if name == "multi_worker":
        return _join_workers()
    return _mirrored(kind, virtual_devices) if name == "mirrored" else None


@cache
def _join_workers() -> tf.distribute.Strategy:
    """Connect to the other workers; returns when all are connected."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        # TensorFlow installs its own handler, which only records the signal: restore ours.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
        return strategy
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise DeviceError(f"the workers cannot connect to each other: {error}") from error


def _mirrored(kind: str, virtual_devices: int | None) -> tf.distribute.Strategy:
    if virtual_devices is not None:
        _split_cpu(virtual_devices)
    names = [device.name for device in tf.config.list_logical_devices(kind.upper())]
    return _mirrored_over(tuple(names[:virtual_devices]))


@cache
def _mirrored_over(names: tuple[str, ...]) -> tf.distribute.Strategy:
    # A second strategy in one process would reuse the collective keys of the first.
    return tf.distribute.MirroredStrategy(names)


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError as error:
        cpu_count = len(tf.config.list_logical_devices("CPU"))
        if cpu_count < count:
            raise DeviceError(
                f"execution.virtual_devices is {count}, but TensorFlow has started with "
                f"{cpu_count} in this process and keeps them; start a new process."
            ) from error
