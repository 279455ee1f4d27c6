"""What a run tells whoever watches it: the plan, then each step, epoch and note as they come."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Plan:
    """What is about to run.

    Args:
        title: the experiment's name, such as `digits`.
        run: the run folder as the user may type it; empty when nothing is written.
        device: what computes and why, such as `CPU (2 threads): TensorFlow sees no GPU`.
        epochs: number of the last epoch; 0 when nothing is trained.
        steps: training steps per epoch; 0 when unknown.
        summary: one line on the parts: algorithm, networks, optimizers, data.
        mode: how the steps are executed and why; empty when nothing is trained.
    """

    title: str
    run: str
    device: str
    epochs: int
    steps: int
    summary: str
    mode: str = ""


class Display(Protocol):
    """Whatever shows a run while it goes on.

    The loop calls every method from one thread. `step` and `validation_step` follow every single
    step, so they return within about a microsecond when nothing is due to be shown.
    """

    def begin(self, plan: Plan) -> None:
        """Show what is about to run."""

    def epoch_begin(self, epoch: int) -> None:
        """Note that an epoch starts; the first one is 1."""

    def step(self, step: int, values: Callable[[], dict[str, float]]) -> None:
        """Note a finished training step, the epoch's first being 1.

        `values` waits for the device: it is called only when its result is shown.
        """

    def validation_step(self, step: int, steps: int) -> None:
        """Note a finished validation or test step, `step` of `steps` (0: unknown)."""

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        """Show a finished epoch's values, `val_` ones too, and its wall time."""

    def note(self, text: str) -> None:
        """Show one line of text, such as `stopped early: ...`."""

    def end(self) -> None:
        """Restore the terminal; also after errors and signals, and safe to call twice."""
