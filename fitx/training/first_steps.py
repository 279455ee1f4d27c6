"""The waits for the first step of training and for that of validation, told as stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fitx.stages import Stage


class FirstSteps:
    """Tells once of each wait; the first step of a kind compiles those that follow."""

    def __init__(self) -> None:
        self._texts = {"train": "preparing the first step", "test": "preparing the validation"}
        self._stage: Stage | None = None

    @contextmanager
    def told(self) -> Iterator[None]:
        """Begin with the wait for the first training step; no wait lasts longer than the block."""
        self.begin("train")
        try:
            yield
        finally:
            self.reached()

    def begin(self, kind: str) -> None:
        """Note that steps of a kind, "train" or "test", are about to run."""
        # A run that goes on within a validation has no training step before.
        self.reached()
        if kind in self._texts:
            self._stage = Stage(self._texts.pop(kind))

    def reached(self) -> None:
        """Note that a step is over."""
        if self._stage is not None:
            self._stage.end()
            self._stage = None
