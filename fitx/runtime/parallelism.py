"""How many threads compute on the CPU, on which the last bits of results depend."""

from __future__ import annotations

import os
from contextlib import suppress

import tensorflow as tf

from fitx.errors import DeviceError


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


def set_threads(count: int | None) -> int:
    """Let one operation use so many threads, and as many operations run at once.

    XLA's programs on the CPU compute with the same threads.

    Args:
        count: None leaves it to TensorFlow, which takes all that the process may use.

    Returns:
        The number in force.

    Raises:
        DeviceError: TensorFlow has started with another number.
    """
    if count is None:
        return threads()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as error:
        if threads() != count:
            raise DeviceError(
                f"execution.threads is {count}, but TensorFlow has started with {threads()} in "
                "this process and keeps them; start another process."
            ) from error
    return count
