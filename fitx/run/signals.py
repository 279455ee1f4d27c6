"""SIGINT and SIGTERM while a run trains: the first asks it to stop, the second ends it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether a signal asked the run to stop; `number` is that signal's, 0 for none."""

    number = 0

    @property
    def name(self) -> str:
        """The signal's name, such as SIGTERM."""
        return signal.Signals(self.number).name

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; at a second one leave at once, with its exit code."""
        if self.number:
            os._exit(128 + number)
        self.number = number


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Note signals instead of dying of them, until the block ends."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.receive) for number in STOPPING}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
