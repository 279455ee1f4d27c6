"""Training steps that nobody hears of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fitx.engine.epoch_logs import Logs
from fitx.engine.loops.block_loop import BlockFunction
from fitx.engine.step_runner import StepFunction


def run(function: StepFunction, iterator: Any, steps: int, is_wanted: Callable[[], bool]) -> None:
    """Run steps of an epoch as `fit` does, without its callbacks.

    Args:
        function: What `fit` calls.
        iterator: Over what `fit` was given; the first step is its next.
        steps: How many.
        is_wanted: Asked now and then whether to go on.
    """
    if isinstance(function, BlockFunction):
        function.steps, function.watcher = steps, _Nobody(steps, is_wanted)
        function(iterator)
        return
    for _ in range(steps):
        if not is_wanted():
            return
        function(iterator)


class _Nobody:
    """Hears of chunks of steps and has nothing to do with them."""

    def __init__(self, steps: int, is_wanted: Callable[[], bool]) -> None:
        self._steps, self._is_wanted = steps, is_wanted

    def begin(self, step: int) -> None:
        pass

    def end(self, step: int, logs: Logs) -> bool:
        return self._is_wanted()

    def limit(self) -> int:
        return self._steps
