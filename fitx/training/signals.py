"""Handles SIGINT, SIGTERM and SIGHUP: the first one stops a training, the second the process.

Child processes that a plugin forks keep the default handling of signals.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_DEFAULTS: dict[signal.Signals, Callable[[int, FrameType | None], Any] | signal.Handlers] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}
_END = b"\0"
"""The byte that ends the listening thread; no signal has this number."""

ECHO_SECONDS = 0.5
"""The time after the first signal in which further ones count as the same request, in seconds.

`timeout`, `srun` and similar wrappers send every signal to the process and to its group.
"""


@contextmanager
def blocked() -> Iterator[set[signal.Signals | int]]:
    """Block signals in this thread until the block ends; other threads may still take them.

    A thread that is started inside the block keeps them blocked for ever.

    Yields:
        The signals that were blocked before.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopRequest:
    """A request to stop the training, made by a signal or after a given step.

    Args:
        after: Training step after which to stop as if by SIGTERM; None for no such step.

    Attributes:
        number: The number of the signal; 0 if there was none.
    """

    number = 0

    def __init__(self, after: int | None = None) -> None:
        self.after = after

    @property
    def name(self) -> str:
        """The name of the signal, such as SIGTERM."""
        return signal.Signals(self.number).name

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Record the first signal; further ones change nothing."""
        self.number = self.number or number

    def steps_left(self, steps_done: int) -> int:
        """Return the number of steps that may run after `steps_done`; `maxsize` without a limit."""
        return (
            self.after - steps_done
            if self.after is not None and steps_done < self.after
            else sys.maxsize
        )

    def count_steps(self, steps_done: int) -> None:
        """Stop the training if `steps_done` is the step after which to stop."""
        if steps_done == self.after:
            self.note(signal.SIGTERM)


@contextmanager
def listening(after: int | None = None) -> Iterator[StopRequest]:
    """Turn signals into a stop request until the block ends.

    Signals that are ignored, as `nohup` and a shell's `&` arrange it, stay ignored.

    Args:
        after: Training step after which to stop as if by SIGTERM; None for no such step.
    """
    request = StopRequest(after)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [n for n in STOPPING if signal.getsignal(n) is not signal.SIG_IGN]
    with _second_signal_exits(request):
        before = {number: signal.signal(number, request.note) for number in numbers}
        try:
            yield request
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _second_signal_exits(request: StopRequest) -> Iterator[None]:
    """End the process at a second signal, from a separate thread.

    Python runs signal handlers in the main thread, which may be inside TensorFlow for minutes; the
    second signal must not wait for that.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    thread = threading.Thread(target=_listen, args=(reading, request), daemon=True)
    thread.start()
    before = signal.set_wakeup_fd(writing)
    _pipes.append((reading, writing))
    try:
        yield
    finally:
        _pipes.remove((reading, writing))
        signal.set_wakeup_fd(before)
        # Closing the pipe would not end the thread if a child that C code forked holds it open.
        os.write(writing, _END)
        os.close(writing)
        thread.join()
        os.close(reading)


def _listen(descriptor: int, request: StopRequest) -> None:
    first = math.inf
    while (received := os.read(descriptor, 1)) not in (b"", _END):
        number, now = received[0], time.monotonic()
        if number not in STOPPING:
            continue
        if now - first > ECHO_SECONDS:
            os._exit(128 + number)
        first = min(first, now)
        request.note(number)


_pipes: list[tuple[int, int]] = []
"""The open pipes of `listening` blocks, which a forked child closes."""

_forking = threading.local()
"""Holds, as `mask`, the signals that a thread had blocked before it began to fork."""


def _block() -> None:
    """Block signals during a fork, so that the child does not handle one as its parent would."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _forget_in_child() -> None:
    """Restore the default handling of signals in a forked child, and close its pipes."""
    for number, default in _DEFAULTS.items():
        handler = signal.getsignal(number)
        if (getattr(handler, "__module__", None) or "").startswith("fitx."):
            signal.signal(number, default)
    if _pipes:
        signal.set_wakeup_fd(-1)
    while _pipes:
        for descriptor in _pipes.pop():
            os.close(descriptor)
    _unblock()


os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_forget_in_child)
