"""Evaluates a step on a split, as it was built or with the state of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras

from fitx.build.built import BuiltExperiment
from fitx.build.error_attribution import user_errors
from fitx.build.step_feeds import evaluation_feed
from fitx.build.trained_weights import read_trained
from fitx.checkpoint.state_names import NETWORKS
from fitx.experiment.problems import listed
from fitx.stages import Stage
from fitx.step import Step
from fitx.training.display_interface import Display
from fitx.training.state.variables import State, assign, mismatches, model_variables


def evaluate_split(
    built: BuiltExperiment,
    split: str,
    display: Display,
    limit: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Run the step's `test_step` over a split and return the values that it logs, in its order.

    Args:
        built: The step with its networks and data.
        split: The name of the split.
        display: Counts the batches.
        limit: The most batches to run; None for all.
        check: Called after every batch; raises an error to end the evaluation.
    """
    steps = built.data.steps(split)
    steps = min(steps, limit) if limit else steps
    batches = evaluation_feed(built, split, steps)
    with (
        user_errors(built.experiment, lambda: f"test_step on the {split} split"),
        Stage(f"preparing to measure the {split} split") as stage,
    ):
        counter = _BatchCounter(display, steps, check, stage)
        values = built.step.evaluate(
            batches, steps=steps, callbacks=[counter], verbose=0, return_dict=True
        )
    names = built.step.execution.logs["test"].names or ()
    return {name: float(values[name]) for name in names}


class _BatchCounter(keras.callbacks.Callback):
    """Reports every batch to the display; the first batch ends the stage of preparation."""

    def __init__(
        self, display: Display, steps: int, check: Callable[[], None], stage: Stage
    ) -> None:
        super().__init__()
        self.display, self.steps, self.check, self.stage = display, steps, check, stage

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.stage.end()
        self.display.validation_step(batch + 1, self.steps)
        self.check()


@dataclass(frozen=True)
class Restored:
    """The checkpoint that a step was restored from.

    Args:
        checkpoint: The name of its folder.
        notes: Lines for the user.
    """

    checkpoint: str
    notes: tuple[str, ...]


def restore_for_evaluation(step: Step, run: Path, weights: str) -> Restored:
    """Set a traced step to the newest whole checkpoint of a run.

    The step must be traced before, so that the variables are known which only its graphs hold. All
    variables of its networks must be in the checkpoint. Any other variable that the checkpoint
    lacks, because another step or other options make it, stays as it was built; a note names it.

    Args:
        step: The step to evaluate.
        run: The run folder.
        weights: "last" for the state that the run ended with, "best" for that of its best epoch.

    Raises:
        StorageError: The run has no whole checkpoint, or one of other networks.
        UsageError: The run keeps no best epoch.
    """
    newest = read_trained(run, weights)
    state = newest.state
    variable_by_name = model_variables(step)
    prefixes = tuple(f"{NETWORKS}{name}/" for name in step.execution.contents.networks)
    networks = {
        name: variable for name, variable in variable_by_name.items() if name.startswith(NETWORKS)
    }
    assign(networks, {name: array for name, array in state.items() if name.startswith(prefixes)})
    as_built = _assign_fitting(
        {k: v for k, v in variable_by_name.items() if k not in networks}, state
    )
    notes = [f"skipped: {text}" for text in newest.skipped]
    if as_built:
        notes.append(f"not in the run, and evaluated as built: {listed(as_built)}")
    return Restored(newest.folder.name, tuple(notes))


def _assign_fitting(variable_by_name: Mapping[str, object], state: State) -> list[str]:
    """Set the variables that fit their array in a state; return the names of the others."""
    others = []
    for name, variable in variable_by_name.items():
        one, array = {name: variable}, state.get(name)
        if array is None or mismatches(one, {name: array}):
            others.append(name)
        else:
            assign(one, {name: array})
    return others
