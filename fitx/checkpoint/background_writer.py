"""Writes checkpoints in a background thread, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from threading import Thread

Task = Callable[[], Path]
"""Commits one checkpoint and returns its folder."""


class Writer:
    """Runs tasks in a background thread, one at a time, in the order of submission.

    An error of a task is raised once, by the next `write`, `check` or `wait`. The process does not
    wait for a task when it ends: the task is cut off as by a kill, which checkpoints survive. Call
    `wait` in a `finally` to complete it.

    Attributes:
        folder: the result of the last task that was waited for; None before the first.
        seconds: the duration of the last task that ended.
    """

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.seconds = 0.0
        self._pending: futures.Future[Path] | None = None

    @property
    def is_busy(self) -> bool:
        """True while a task is running."""
        return self._pending is not None and not self._pending.done()

    def write(self, task: Task) -> None:
        """Start a task and return; waits for the previous one first.

        Raises:
            BaseException: the error of the previous task; then this one is not started.
        """
        self.wait()
        result: futures.Future[Path] = futures.Future()
        # A thread pool would be joined when the process ends, and a disk can block forever.
        Thread(target=self._run, args=(task, result), daemon=True).start()
        # Set only after the thread has started, as `wait` blocks until a thread sets the result.
        self._pending = result

    def check(self) -> None:
        """Raise the error of the last task if it has ended; otherwise return at once."""
        if not self.is_busy:
            self.wait()

    def wait(self) -> Path | None:
        """Wait for the last task and return its folder; None if there was no task.

        Raises:
            BaseException: the error of the task.
        """
        if self._pending is not None:
            # If this wait is interrupted, `_pending` stays, and `wait` can be called again.
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
