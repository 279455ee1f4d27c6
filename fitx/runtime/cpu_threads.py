"""Sets the number of CPU threads, on which the last bits of results depend."""

from __future__ import annotations

import os
from contextlib import suppress

import tensorflow as tf

from fitx.errors import DeviceError

MAX_THREADS = 1024
"""The upper limit of `execution.threads`."""

_WITHIN_OPERATIONS = "TF_NUM_INTRAOP_THREADS"
_BETWEEN_OPERATIONS = "TF_NUM_INTEROP_THREADS"


def threads() -> int:
    """Return the number of CPU threads that one operation may use."""
    configured = tf.config.threading.get_intra_op_parallelism_threads()
    if configured:
        return int(configured)
    from_environment = _from_environment(_WITHIN_OPERATIONS)
    if from_environment:
        return from_environment
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(count: int | None) -> int:
    """Set the threads within one operation and the number of operations that run at once.

    XLA's programs on the CPU use the same threads.

    Args:
        count: The number of threads; None leaves it to TensorFlow, which takes every core that
            the process may use.

    Returns:
        The number in force.

    Raises:
        DeviceError: TensorFlow has already started with another number, or one of its
            environment variables holds an impossible number.
    """
    if count is None:
        for name in (_WITHIN_OPERATIONS, _BETWEEN_OPERATIONS):
            _demand_valid(name)
        return threads()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
        tf.config.threading.set_inter_op_parallelism_threads(count)
    except RuntimeError as error:
        if threads() != count:
            raise DeviceError(
                f"execution.threads is {count}, but TensorFlow has started with {threads()} in "
                "this process and keeps them; start a new process."
            ) from error
    return count


def _from_environment(name: str) -> int:
    """Return the number in an environment variable; 0 if it holds none, as TensorFlow reads it."""
    with suppress(KeyError, ValueError):
        return int(os.environ[name])
    return 0


def _demand_valid(name: str) -> None:
    # TensorFlow aborts on a negative number, and starts any number of threads.
    if not 0 <= _from_environment(name) <= MAX_THREADS:
        raise DeviceError(
            f"the environment variable {name} is '{os.environ[name]}', expected 1 to "
            f"{MAX_THREADS}; unset it, or set execution.threads in the experiment."
        )
