"""Which devices share the work: one, all of this machine, or those of several machines."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import tensorflow as tf

from fitx.errors import DeviceError

_chosen: list[tf.distribute.Strategy | None] = [None]
"""The strategy of this process."""


def scope() -> AbstractContextManager[Any]:
    """Return the scope in which everything that a strategy executes is to be made."""
    strategy = _chosen[0]
    context: AbstractContextManager[Any] = strategy.scope() if strategy else nullcontext()
    return context


def replicas() -> int:
    """Return how many devices of all processes share a batch."""
    strategy = _chosen[0]
    return int(strategy.num_replicas_in_sync) if strategy else 1


def choose(name: str, kind: str, virtual_devices: int | None) -> tf.distribute.Strategy | None:
    """Make the strategy that an experiment asks for, for this process.

    Args:
        name: "auto" for one device, "mirrored" or "multi_worker".
        kind: What computes: "cpu" or "gpu".
        virtual_devices: Into how many devices to split the CPU; None does not.

    Raises:
        DeviceError: The process has started with other devices.
    """
    if name == "multi_worker":
        _chosen[0] = _joined()
    else:
        _chosen[0] = _mirrored(kind, virtual_devices) if name == "mirrored" else None
    return _chosen[0]


@cache
def _joined() -> tf.distribute.Strategy:
    """Join the other workers, and wait until all are there."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        # TensorFlow has put a handler of its own there, which only takes note of the signal.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)
        return strategy
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise DeviceError(f"the workers cannot come together: {error}") from error


def _mirrored(kind: str, virtual_devices: int | None) -> tf.distribute.Strategy:
    if virtual_devices is not None:
        _split_cpu(virtual_devices)
    names = [device.name for device in tf.config.list_logical_devices(kind.upper())]
    return _strategy_of(tuple(names[:virtual_devices]))


@cache
def _strategy_of(names: tuple[str, ...]) -> tf.distribute.Strategy:
    # One for a process: a second one would number what devices exchange from the beginning again.
    return tf.distribute.MirroredStrategy(names)


def _split_cpu(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError as error:
        found = len(tf.config.list_logical_devices("CPU"))
        if found < count:
            raise DeviceError(
                f"execution.virtual_devices is {count}, but TensorFlow has started with {found} "
                "in this process and keeps them; start another process."
            ) from error
