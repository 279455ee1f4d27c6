"""Measure networks on a split: those of a run, or an experiment's untrained ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from fitx import checkpoint, runtime
from fitx.build import agreement
from fitx.build.blame import user_errors
from fitx.build.make import make
from fitx.build.trial import Trial
from fitx.data.feed import evaluation_batches
from fitx.errors import StorageError, UsageError
from fitx.experiment.experiment import Experiment
from fitx.run import describe
from fitx.run.display import Display
from fitx.run.observer import refuse_divergence, relative_to_cwd
from fitx.run.result import Result
from fitx.run.state import assign, variables


@dataclass(frozen=True)
class Question:
    """What is to be measured.

    Args:
        split: train, validation or test; None takes the first there is of test, validation, train.
        run: The run whose networks are measured; None for the untrained experiment.
        weights: Which of the run's: those of its last checkpoint, or of its best epoch.
        steps: Batches to measure at most; None for all.
    """

    split: str | None = None
    run: Path | None = None
    weights: str = "last"
    steps: int | None = None


def evaluate(experiment: Experiment, question: Question, display: Display) -> Result:
    """Measure an experiment's networks and return the values.

    Raises:
        ConfigError, DataError, DeviceError, UserCodeError: As for training.
        UsageError: There is no such split, or no best epoch.
        StorageError: No checkpoint of the run is whole, or it does not fit the experiment.
        Diverged: A value is NaN or infinite.
    """
    execution = experiment.execution
    device = runtime.prepare(
        device=execution.device,
        precision=execution.precision,
        deterministic=execution.deterministic,
        seed=experiment.seed,
    )
    # Nothing is trained, so nothing needs an optimizer's memory.
    trial = make(replace(experiment, optimizers={}, callbacks=[]))
    split = _split(trial, question.split)
    notes = _restore(trial, question) if question.run is not None else []
    display.begin(describe.plan(trial, None, device))
    try:
        for note in notes:
            display.note(note)
        with user_errors(trial.experiment):
            agreement.trace(trial, (split,) if split != "train" else ())
            values = evaluate_split(trial, split, display, question.steps)
    finally:
        display.end()
    refuse_divergence(values, f"on the {split} split")
    run = Path(relative_to_cwd(question.run)) if question.run is not None else None
    return Result(run, split, values, {"examples": len(trial.data.splits[split])})


def evaluate_split(
    trial: Trial, split: str, display: Display, limit: int | None = None
) -> dict[str, float]:
    """Run the step's `test_step` over a split and return the values it logs, in its order."""
    steps = trial.data.steps(split)
    steps = min(steps, limit) if limit else steps
    batches = evaluation_batches(trial.data.splits[split], trial.data.batch_size, steps)
    watch = _Watch(display, steps)
    values = trial.step.evaluate(
        batches, steps=steps, callbacks=[watch], verbose=0, return_dict=True
    )
    order = trial.step.logs["test"].names or ()
    return {name: float(values[name]) for name in order}


class _Watch(keras.callbacks.Callback):
    """Tells the display of every batch."""

    def __init__(self, display: Display, steps: int) -> None:
        super().__init__()
        self.display, self.steps = display, steps

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.display.validation_step(batch + 1, self.steps)


def _split(trial: Trial, wanted: str | None) -> str:
    splits = trial.data.splits
    if wanted is None:
        return next(s for s in ("test", "validation", "train") if s in splits)
    if wanted not in splits:
        name = trial.experiment.data.name
        hint = " Set data.validation_split." if wanted == "validation" else ""
        text = f"the data '{name}' has no {wanted} split; it has {', '.join(splits)}.{hint}"
        raise UsageError(text)
    return wanted


def _restore(trial: Trial, question: Question) -> list[str]:
    """Set the networks to a run's newest whole checkpoint; return what there is to say of it."""
    root: Any = question.run
    newest = checkpoint.newest(root / "checkpoints")
    if newest is None:
        raise StorageError(f"{root} holds no checkpoint yet.")
    state = newest.state
    if question.weights == "best":
        state = {k.removeprefix("best/"): v for k, v in state.items() if k.startswith("best/")}
        if not state:
            text = f"{root} keeps no best epoch; train with checkpoint.monitor set."
            raise UsageError(text)
    named = variables(trial.step)
    assign({k: v for k, v in named.items() if k.startswith("networks/")}, state)
    own = {k: v for k, v in named.items() if k.startswith("step/") and k in state}
    assign(own, state)
    return [f"passed over {text}" for text in newest.passed_over]
