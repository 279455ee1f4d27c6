"""SIGINT, SIGTERM and SIGHUP while a run trains: the first asks it to stop, the second ends it.

Processes that a plugin forks have none of this: to them signals do what they do to any other.
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
"""What tells the listening thread to end; no signal has this number."""

ECHO_SECONDS = 0.5
"""After the first signal; what comes sooner is the same request once more.

`timeout`, `srun` and wrappers like them send every signal to the process and to its group.
"""


@contextmanager
def blocked() -> Iterator[set[signal.Signals | int]]:
    """Let signals wait until the block ends, unless another thread takes them.

    A thread that is started in it takes none, ever.

    Yields:
        The signals that waited before.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class StopRequest:
    """Whether a signal asked the run to stop; `number` is that signal's, 0 for none.

    Args:
        after: The training step after which a run stops as if by SIGTERM; None for no such step.
    """

    number = 0

    def __init__(self, after: int | None = None) -> None:
        self.after = after

    @property
    def name(self) -> str:
        """The signal's name, such as SIGTERM."""
        return signal.Signals(self.number).name

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Take the first signal that comes; further ones change nothing."""
        self.number = self.number or number

    def steps_left(self, done: int) -> int:
        """Return how many steps may run after `done`; a huge number if that is not limited."""
        return self.after - done if self.after is not None and done < self.after else sys.maxsize

    def passed(self, done: int) -> None:
        """Hear that so many steps ran."""
        if done == self.after:
            self.note(signal.SIGTERM)


@contextmanager
def listening(after: int | None = None) -> Iterator[StopRequest]:
    """Note signals instead of dying of them, until the block ends.

    Args:
        after: As `StopRequest` takes it.

    Signals that are ignored, as `nohup` and a shell's `&` arrange it, stay ignored.
    """
    request = StopRequest(after)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [n for n in STOPPING if signal.getsignal(n) is not signal.SIG_IGN]
    with _ended_by_a_second(request):
        before = {number: signal.signal(number, request.note) for number in numbers}
        try:
            yield request
        finally:
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def _ended_by_a_second(request: StopRequest) -> Iterator[None]:
    """End the process at a second signal, from a thread of its own.

    Python runs handlers between two lines of the main thread, which may be inside TensorFlow for
    minutes; the second signal must not wait for that.
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
        # Closing it is no end where a child that C code forked has it open too.
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
"""The pipes of the blocks that listen now, which a forked child closes."""

_forking = threading.local()
"""The signals that a thread had blocked before it began to fork, as `mask`."""


def _block() -> None:
    """Let signals wait while a process is forked: the child would take them for its parent's."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _forget_in_child() -> None:
    """Let a forked child be ended by signals, and its parent hear none of them."""
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
