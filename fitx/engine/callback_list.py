"""Callbacks that hear of the steps that ran, however many one call of Keras' loop ran."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import keras

from fitx.engine.epoch_logs import Logs
from fitx.engine.loops.block_loop import BlockFunction, Watcher
from fitx.engine.step_runner import StepFunction


class ChunkCallbackList(keras.callbacks.CallbackList):
    """What `fit` and `evaluate` tell of their progress, with the numbers of real steps.

    Keras tells of each call of its functions; of one that runs a whole epoch, the function tells
    by itself, chunk by chunk.

    Args:
        callbacks: As `fit` takes them.
        step: What is trained or measured.
        about: What the callbacks are told as their `params`; `add_history` is Keras' own.

    Attributes:
        passed: Training steps of the first epoch that ran before, and are not heard of.
    """

    def __init__(
        self, callbacks: Iterable[keras.callbacks.Callback], step: keras.Model, **about: Any
    ) -> None:
        super().__init__(list(callbacks), model=step, verbose=0, **about)
        self.passed = 0
        self._told: dict[str, tuple[BlockFunction, int, Watcher]] = {}

    def follow(
        self,
        kind: str,
        function: StepFunction,
        steps: int | None,
        limit: Callable[[], int] = lambda: sys.maxsize,
    ) -> int | None:
        """Hear of a function's steps from itself, if it runs many in one call.

        Args:
            kind: What it is for: "train" or "test".
            function: What `fit` or `evaluate` is going to call.
            steps: In an epoch or an evaluation; None where the data says.
            limit: Tells how many steps may run before they must be heard of.

        Returns:
            How often Keras' loop is to call the function for these steps.
        """
        self._told.pop(kind, None)
        if not isinstance(function, BlockFunction) or steps is None:
            return steps
        self._told[kind] = (function, steps, _Watcher(self, kind, limit))
        return 1

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Pass on that training begins."""
        super().on_train_begin(logs)
        self._listen("train")

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Pass on that an evaluation begins; the one before may have told somebody else."""
        super().on_test_begin(logs)
        self._listen("test")

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Pass on that a step begins, unless its function tells."""
        if "train" not in self._told and batch >= self.passed:
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Pass on that a step ended, unless its function tells."""
        if "train" not in self._told and batch >= self.passed:
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Pass on that an epoch ended; every step of the next one is heard of."""
        self.passed = 0
        super().on_epoch_end(epoch, logs)

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Pass on that a step begins, unless its function tells."""
        if "test" not in self._told:
            super().on_test_batch_begin(batch, logs)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Pass on that a step ended, unless its function tells."""
        if "test" not in self._told:
            super().on_test_batch_end(batch, logs)

    def _listen(self, kind: str) -> None:
        if kind in self._told:
            function, steps, watcher = self._told[kind]
            function.steps, function.watcher = steps, watcher


class _Watcher:
    """Passes the steps of a block function on to callbacks."""

    def __init__(self, callbacks: ChunkCallbackList, kind: str, limit: Callable[[], int]) -> None:
        self.limit = limit
        self._step = callbacks.model
        self._stop = "stop_training" if kind == "train" else "stop_evaluating"
        told = super(ChunkCallbackList, callbacks)
        self._begin = getattr(told, f"on_{kind}_batch_begin")
        self._end = getattr(told, f"on_{kind}_batch_end")

    def begin(self, step: int) -> None:
        self._begin(step)

    def end(self, step: int, logs: Logs) -> bool:
        self._end(step, logs)
        return not getattr(self._step, self._stop)
