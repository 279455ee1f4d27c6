"""Shows on stderr the stage that a command is busy with before there is progress to show."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from fitx import stages
from fitx.training.signals import blocked

from .indicators import Indicator, Lines, Spinner, Write

LONGEST_WAIT = 1.0
"""Seconds to wait for a terminal that takes no output, such as one held by Ctrl-S."""


class Ticking:
    """Shows stages by an indicator, whose ticks come from a thread of its own.

    The main thread may be inside C code for seconds.
    """

    def __init__(self, indicator: Indicator) -> None:
        self._indicator = indicator
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def start(self) -> None:
        """Show the stages from now on."""
        with blocked():
            # The thread takes no signals: one that the main thread lets wait would not wait.
            self._thread.start()
        stages.watch(self._show)

    def stop(self) -> None:
        """Show nothing more, and take away what is shown; also from a signal's handler."""
        self._over.set()
        stages.unwatch(self._show)

    def join(self) -> None:
        """Wait for the thread to end, but not for long."""
        self._thread.join(LONGEST_WAIT)

    def _show(self, text: str) -> None:
        # A signal's handler must not wait for a thread that a held terminal has stopped.
        if self._lock.acquire(timeout=LONGEST_WAIT):
            try:
                self._indicator.begin(text)
            finally:
                self._lock.release()

    def _tick(self) -> None:
        while not self._over.wait(self._indicator.seconds_between_ticks):
            with self._lock:
                if not self._over.is_set():
                    self._indicator.tick()


_shown: list[Ticking] = []
"""What shows the stages now."""


@contextmanager
def waiting(quiet: bool = False) -> Iterator[None]:
    """Show on stderr what goes on until the block ends; nothing with `quiet`."""
    stream: TextIO | None = sys.stderr
    if quiet or stream is None:
        yield
        return
    with _writer(stream) as write:
        ticking = Ticking(_indicator(stream, write))
        _shown.append(ticking)
        ticking.start()
        try:
            yield
        finally:
            ticking.stop()
            ticking.join()
            _shown.remove(ticking)


def stop_waiting() -> None:
    """Take away what shows the stages: the process is about to end, or to run something else."""
    for ticking in _shown:
        ticking.stop()


def _indicator(stream: TextIO, write: Write) -> Indicator:
    from . import redraws

    if redraws(stream):
        return Spinner(write, lambda: _columns(stream), time.monotonic)
    return Lines(write, time.monotonic)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


@contextmanager
def _writer(stream: TextIO) -> Iterator[Write]:
    """Yield what writes where a stream goes now, wherever its descriptor leads later.

    TensorFlow is imported with that of standard error closed. A stream that cannot be written
    any more is left alone.
    """
    try:
        stream.flush()
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError):  # An object in memory, put there by whoever calls `main`.
        yield lambda text: None
        return

    def write(text: str) -> None:
        with suppress(OSError):
            os.write(descriptor, text.encode())

    try:
        yield write
    finally:
        os.close(descriptor)
