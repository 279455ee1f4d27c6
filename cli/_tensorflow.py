"""TensorFlow's import, without what it prints while it starts."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext


def import_tensorflow(*, verbose: bool) -> None:
    """Import TensorFlow and Keras; without `verbose`, its start-up messages are dropped.

    They are written by C++ code straight to file descriptor 2, some of them whatever the
    logging level. An import that fails raises, so nothing that matters is lost.
    """
    with _uncollected(), nullcontext() if verbose else _descriptor_closed(2):
        import keras  # noqa: F401


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away from a large import, then and ever after.

    It would walk through the 300,000 objects of the modules again and again, while they
    are made and once more when the process ends, to find that all of them are in use.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _descriptor_closed(descriptor: int) -> Iterator[None]:
    """Send what is written to a file descriptor nowhere."""
    sys.stderr.flush()
    kept = os.dup(descriptor)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
        os.close(nowhere)
