"""Checkpoints written beside the training, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from threading import Thread

Task = Callable[[], Path]
"""Commits one checkpoint and returns its folder."""


class Writer:
    """Runs tasks in the background: at most one at a time, in the order they came.

    What a task raises is raised once, by the next `write`, `check` or `wait`. The end of the
    process is never held up: a task that is under way then is cut off like by a kill, which a
    checkpoint stands. To have it finished, `wait` in a `finally`.

    Attributes:
        folder: what the last task that was waited for returned; None before the first.
        seconds: how long the last task that ended took.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seconds = 0.0
        self._pending: futures.Future[Path] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a task is under way."""
        return self._pending is not None and not self._pending.done()

    def write(self, task: Task) -> None:
        """Begin a task and return; the one before is waited for.

        Raises:
            BaseException: what the one before raised; this one is not begun then.
        """
        self.wait()
        result: futures.Future[Path] = futures.Future()
        # A pool of threads would be joined when the process ends, and a disk can hang for ever.
        Thread(target=self._run, args=(task, result), daemon=True).start()
        # Only now: a result that no thread is going to set would be waited for without end.
        self._pending = result

    def check(self) -> None:
        """Raise what the last task raised, if it has ended; else return at once."""
        if not self.is_busy:
            self.wait()

    def wait(self) -> Path | None:
        """Return the folder of the last task when it has ended; None where there was none.

        Raises:
            BaseException: what the task raised.
        """
        if self._pending is not None:
            # An interrupt of this wait leaves the task to be asked for again.
            futures.wait([self._pending])
            ended, self._pending = self._pending, None
            self.folder = ended.result()
        return self.folder

    def _run(self, task: Task, result: futures.Future[Path]) -> None:
        began = time.perf_counter()
        try:
            folder = task()
        except BaseException as error:
            self.seconds = time.perf_counter() - began
            result.set_exception(error)
        else:
            self.seconds = time.perf_counter() - began
            result.set_result(folder)
