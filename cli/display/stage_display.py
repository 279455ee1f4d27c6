"""Shows the current stage of a command on stderr, such as `loading TensorFlow`."""

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

from .stage_spinner import Indicator, Spinner, StageLines, Write

LONGEST_WAIT = 1.0
"""Seconds to wait for a terminal that accepts no output, such as one stopped by Ctrl-S."""


class StageTicker:
    """Shows stages by an indicator, and calls its `tick` from a thread.

    The main thread may spend seconds inside C code.
    """

    def __init__(self, indicator: Indicator) -> None:
        self._indicator = indicator
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def start(self) -> None:
        """Start showing stages."""
        with blocked():
            # The thread blocks signals: it would receive those that the main thread has blocked.
            self._thread.start()
        stages.watch(self._show)

    def stop(self) -> None:
        """Stop showing stages and erase the current one; also works in a signal handler."""
        self._over.set()
        stages.unwatch(self._show)

    def join(self) -> None:
        """Wait for the thread to end, for at most a second."""
        self._thread.join(LONGEST_WAIT)

    def _show(self, text: str) -> None:
        # A signal handler must not wait for a thread that is blocked by a stopped terminal.
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


_active: list[StageTicker] = []
"""The tickers that show stages now."""


@contextmanager
def show_stages(quiet: bool = False) -> Iterator[None]:
    """Show the stages of the block on stderr; nothing with `quiet`."""
    stream: TextIO | None = sys.stderr
    if quiet or stream is None:
        yield
        return
    with _writer(stream) as write:
        ticker = StageTicker(_indicator(stream, write))
        _active.append(ticker)
        ticker.start()
        try:
            yield
        finally:
            ticker.stop()
            ticker.join()
            _active.remove(ticker)


def hide_stages() -> None:
    """Stop showing stages: the process is about to exit."""
    for ticker in _active:
        ticker.stop()


def _indicator(stream: TextIO, write: Write) -> Indicator:
    from . import can_redraw

    if can_redraw(stream):
        return Spinner(write, lambda: _terminal_width(stream), time.monotonic)
    return StageLines(write, time.monotonic)


def _terminal_width(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


@contextmanager
def _writer(stream: TextIO) -> Iterator[Write]:
    """Yield a function that writes to a copy of a stream's descriptor; it ignores errors.

    The copy stays open while TensorFlow is imported with standard error redirected.
    """
    try:
        stream.flush()
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError):  # The caller of `main` has set a stream in memory.
        yield lambda text: None
        return

    def write(text: str) -> None:
        with suppress(OSError):
            os.write(descriptor, text.encode())

    try:
        yield write
    finally:
        os.close(descriptor)
