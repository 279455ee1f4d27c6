"""Runs a step's `test_step` over one split of the data."""

from __future__ import annotations

from collections.abc import Callable

import keras

from fitx.build.built import BuiltExperiment
from fitx.build.error_attribution import user_errors
from fitx.build.step_feeds import evaluation_feed
from fitx.stages import Stage
from fitx.training.progress import Display


def evaluate_split(
    built: BuiltExperiment,
    split: str,
    display: Display,
    limit: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Run the step's `test_step` over a split and return the values it logs, in its order.

    Args:
        built: The step with its networks and data.
        split: Name of the split.
        display: Told of every batch.
        limit: Batches at most; None for all.
        check: Called after every batch; ends the evaluation by raising.
    """
    steps = built.data.steps(split)
    steps = min(steps, limit) if limit else steps
    batches = evaluation_feed(built, split, steps)
    told = user_errors(built.experiment, lambda: f"test_step on the {split} split")
    with told, Stage(f"preparing to measure the {split} split") as stage:
        watch = _Watch(display, steps, check, stage)
        values = built.step.evaluate(
            batches, steps=steps, callbacks=[watch], verbose=0, return_dict=True
        )
    order = built.step.execution.logs["test"].names or ()
    return {name: float(values[name]) for name in order}


class _Watch(keras.callbacks.Callback):
    """Tells the display of every batch; the first ends the stage before it."""

    def __init__(
        self, display: Display, steps: int, check: Callable[[], None], before: Stage
    ) -> None:
        super().__init__()
        self.display, self.steps, self.check, self.before = display, steps, check, before

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.before.end()
        self.display.validation_step(batch + 1, self.steps)
        self.check()
