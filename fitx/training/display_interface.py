"""The interface of displays, the plan that they show, and the stages before the first steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from fitx.stages import Stage


@dataclass(frozen=True)
class Plan:
    """The plan of a run, which a display shows first.

    Args:
        title: The experiment's name, such as `digits`.
        run: The run folder as the user may type it; empty when nothing is written.
        device: The device and why it was chosen, such as `CPU (2 threads): TensorFlow sees no GPU`.
        epochs: The number of the last epoch; 0 when nothing is trained.
        steps: Training steps per epoch; 0 when unknown.
        summary: One line on the parts: step, networks, optimizers, data.
        mode: The execution mode and why it was chosen; empty when nothing is trained.
    """

    title: str
    run: str
    device: str
    epochs: int
    steps: int
    summary: str
    mode: str = ""


class Display(Protocol):
    """The interface of every display.

    The loop calls every method from one thread. `step` and `validation_step` are called after every
    single step, so they must return within about a microsecond unless a redraw is due.
    """

    def begin(self, plan: Plan) -> None:
        """Show the plan."""

    def epoch_begin(self, epoch: int) -> None:
        """Begin an epoch; the first one is 1."""

    def step(self, step: int, values: Callable[[], dict[str, float]]) -> None:
        """Count a finished training step; the first of an epoch is 1.

        `values` waits for the device: call it only to show its result.
        """

    def validation_step(self, step: int, steps: int) -> None:
        """Count a finished validation or test step, `step` of `steps` (0 if unknown)."""

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        """Show the values of a finished epoch, `val_` ones too, and its wall time."""

    def note(self, text: str) -> None:
        """Show one line of text, such as `stopped early: ...`."""

    def end(self) -> None:
        """Restore the terminal; called after errors and signals too, and safe to call twice."""


@contextmanager
def showing(display: Display, plan: Plan) -> Iterator[None]:
    """Show a plan, and restore the terminal when the block ends, also by an error."""
    try:
        display.begin(plan)
        yield
    finally:
        display.end()


class FirstSteps:
    """Stages for the waits before the first training step and the first validation step.

    The first step of a kind takes long, because it compiles the step.
    """

    def __init__(self) -> None:
        self._texts = {"train": "preparing the first step", "test": "preparing the validation"}
        self._stage: Stage | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Begin with the wait for the first training step; end any wait when the block ends."""
        self.begin("train")
        try:
            yield
        finally:
            self.reached()

    def begin(self, kind: str) -> None:
        """Begin the wait for the first step of a kind, "train" or "test"."""
        # A run that is resumed within a validation runs no training step before it.
        self.reached()
        if kind in self._texts:
            self._stage = Stage(self._texts.pop(kind))

    def reached(self) -> None:
        """End the wait: a step has run."""
        if self._stage is not None:
            self._stage.end()
            self._stage = None
