"""How many threads compute on the CPU, on which the last bits of results depend."""

from __future__ import annotations

import os
from contextlib import suppress

import tensorflow as tf

from fitx.errors import DeviceError

MOST = 1024
"""Threads that `execution.threads` takes at most."""

_WITHIN_OPERATIONS = "TF_NUM_INTRAOP_THREADS"
_BETWEEN_OPERATIONS = "TF_NUM_INTEROP_THREADS"


def threads() -> int:
    """Return how many threads one operation may use on the CPU."""
    asked = tf.config.threading.get_intra_op_parallelism_threads()
    if asked:
        return int(asked)
    chosen = _of_environment(_WITHIN_OPERATIONS)
    if chosen:
        return chosen
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
        DeviceError: TensorFlow has started with another number, or a variable of TensorFlow's
            asks for more than it can start.
    """
    if count is None:
        for name in (_WITHIN_OPERATIONS, _BETWEEN_OPERATIONS):
            _demand_possible(name)
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


def _of_environment(name: str) -> int:
    """Return the number that a variable holds; 0 where TensorFlow would not take it either."""
    with suppress(KeyError, ValueError):
        return int(os.environ[name])
    return 0


def _demand_possible(name: str) -> None:
    # TensorFlow would end the process at a negative number, and start as many threads as are asked.
    if not 0 <= _of_environment(name) <= MOST:
        raise DeviceError(
            f"the environment variable {name} is '{os.environ[name]}', expected 1 to {MOST}, or "
            "unset it; execution.threads says it for one experiment."
        )
