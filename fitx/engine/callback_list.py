"""Calls callbacks with the numbers of real steps, whether one call runs one step or many."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import keras

from fitx.engine.epoch_logs import Logs
from fitx.engine.loops.batch_loop import SkippingFunction
from fitx.engine.loops.block_loop import BlockFunction, ChunkedEpochs
from fitx.engine.step_runner import StepFunction

KerasFunction = Callable[[Any], Logs]
"""A function that Keras calls with an iterator over the data of an epoch."""


class ChunkCallbackList(keras.callbacks.CallbackList):
    """The callbacks of one `fit` or `evaluate`, called with the numbers of real steps.

    Keras calls them around each call of its functions. A function that runs a whole epoch in one
    call notifies them itself, chunk by chunk.

    Args:
        callbacks: The callbacks, as `fit` takes them.
        step: The step that is trained or evaluated.
        params: The `params` of the callbacks, and `add_history` of Keras.
    """

    def __init__(
        self, callbacks: Iterable[keras.callbacks.Callback], step: keras.Model, **params: Any
    ) -> None:
        super().__init__(list(callbacks), model=step, verbose=0, **params)
        self._skip_steps = 0
        self._chunked: set[str] = set()

    def subscribe(
        self,
        kind: str,
        function: StepFunction,
        steps: int | None,
        *,
        steps_until_due: Callable[[], int] = lambda: sys.maxsize,
        skip_steps: int = 0,
    ) -> tuple[KerasFunction, int | None]:
        """Return the function that Keras is to call for the steps of an epoch, and how often.

        Args:
            kind: The method that the function runs: "train" or "test".
            function: Runs the steps.
            steps: Steps of an epoch or an evaluation; None if the data ends by itself.
            steps_until_due: Returns how many steps may run before the callbacks must be called.
            skip_steps: Steps of the first epoch that are not run, and not passed to callbacks.
        """
        if kind == "train":
            self._skip_steps = skip_steps
        if isinstance(function, BlockFunction):
            if steps is None:
                return _refuse_blocks, None
            self._chunked.add(kind)
            listener = _CallbackListener(self, kind, steps_until_due)
            return ChunkedEpochs(function, steps, listener, skip_steps), 1
        return (SkippingFunction(function, skip_steps) if skip_steps else function), steps

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call the callbacks unless the function does, or the step is skipped."""
        if "train" not in self._chunked and batch >= self._skip_steps:
            super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call the callbacks unless the function does, or the step is skipped."""
        if "train" not in self._chunked and batch >= self._skip_steps:
            super().on_train_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Call the callbacks; no step of a later epoch is skipped."""
        self._skip_steps = 0
        super().on_epoch_end(epoch, logs)

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call the callbacks unless the function does."""
        if "test" not in self._chunked:
            super().on_test_batch_begin(batch, logs)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Call the callbacks unless the function does."""
        if "test" not in self._chunked:
            super().on_test_batch_end(batch, logs)


def _refuse_blocks(iterator: Any) -> Logs:
    raise ValueError("a mode that runs blocks of batches needs the number of steps of an epoch")


class _CallbackListener:
    """Passes the chunks of a block function on to callbacks."""

    def __init__(
        self, callbacks: ChunkCallbackList, kind: str, steps_until_due: Callable[[], int]
    ) -> None:
        self.steps_until_due = steps_until_due
        self._step = callbacks.model
        self._stop = "stop_training" if kind == "train" else "stop_evaluating"
        keras_list = super(ChunkCallbackList, callbacks)
        self._begin = getattr(keras_list, f"on_{kind}_batch_begin")
        self._end = getattr(keras_list, f"on_{kind}_batch_end")

    def chunk_begins(self, step: int) -> None:
        self._begin(step)

    def chunk_ends(self, step: int, logs: Logs) -> bool:
        self._end(step, logs)
        return not getattr(self._step, self._stop)
