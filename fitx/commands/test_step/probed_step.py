"""`ProbedStep`: a traced step that checks run again and again from the same state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.build import plugin_checks
from fitx.build.execution_setup import PlannedSteps, prepare_execution
from fitx.build.make import make
from fitx.build.step_feeds import batch_layout, training_feed
from fitx.compat.function_graphs import operations
from fitx.data.feed import evaluation_batches, training_batches
from fitx.experiment.experiment import Experiment
from fitx.runtime import Runtime
from fitx.training.state.variables import RESET_EACH_EPOCH, State, assign, capture, variables

FEW_STEPS = 4
"""The number of steps that each execution mode runs."""

Values = Mapping[str, float]


@dataclass(frozen=True)
class ModeOutcome:
    """The result of a few steps in one execution mode.

    Attributes:
        values: The logged values of each epoch by name.
        state: The variables after the last step.
    """

    values: dict[str, list[float]]
    state: State


class ProbedStep:
    """A step that is built and traced once, and whose variables can be set back.

    Args:
        experiment: The experiment.
        device: The device that computes.
        keeps_short_batches: Whether to train on a short last batch, if the data have one.

    Attributes:
        built: The built experiment.
        evaluated_split: The split for evaluations; None if the step cannot be evaluated.
        start: The variables before the first step.
        is_row_mean: Whether the losses are means over the rows of a batch; set by `check_rows`.
    """

    is_row_mean = False

    def __init__(
        self, experiment: Experiment, device: Runtime, *, keeps_short_batches: bool = True
    ) -> None:
        built = make(experiment, device)
        if not keeps_short_batches:
            built = replace(built, data=replace(built.data, drop_remainder=True))
        self.built, self.device = built, device
        self.steps = min(FEW_STEPS, built.steps_per_epoch)
        splits = (s for s in ("validation", "test", "train") if s in built.data.splits)
        is_evaluated = plugin_checks.measures(experiment, built.step)
        self.evaluated_split = next(splits) if is_evaluated else None
        self._prepare()
        self.variables = variables(built.step)
        self.start = capture(self.variables)

    def _prepare(self, mode: str = "plain") -> None:
        planned = [PlannedSteps("train", "train", self.built.total_steps)]
        if self.evaluated_split is not None:
            steps = self.built.evaluation_steps(self.evaluated_split)
            planned.append(PlannedSteps("test", self.evaluated_split, steps))
        prepare_execution(self.built, self.device, planned, {"train": mode, "test": "plain"})

    @property
    def step(self) -> Any:
        """The step."""
        return self.built.step

    @property
    def optimized(self) -> dict[str, list[Any]]:
        """The variables that each optimizer trains, by the name of the optimizer."""
        optimized: dict[str, list[Any]] = self.step.execution.contents.optimized
        return optimized

    @property
    def graph(self) -> Any:
        """The traced graph of `train_step` for the batches of the experiment."""
        layout = batch_layout(self.built, "train", "train")
        return self.step.execution.step_graphs["train"].graph(layout.spec)

    @cached_property
    def is_random(self) -> bool:
        """True if the step draws random numbers while it trains."""
        types = {operation.type for operation in operations(self.graph.graph)}
        return any("Random" in name or name.startswith("Stateful") for name in types)

    def batches(self) -> Iterator[Any]:
        """Return the batches of training, in the order of `fitx train`, without end."""
        return iter(training_batches(self.built.data))

    def evaluation_batch(self) -> Any:
        """Return the first batch of the evaluated split."""
        return next(iter(evaluation_batches(self.built.data, str(self.evaluated_split))))

    def set_back(self, names: set[str] | None = None) -> None:
        """Set variables to their values before the first step: all, or those of some names."""
        chosen = {n: v for n, v in self.variables.items() if names is None or n in names}
        assign(chosen, {name: self.start[name] for name in chosen})

    def values_of(self, batch: Any, graph: Any = None) -> dict[str, float]:
        """Take one step on a batch; return the values of that batch alone, by name."""
        self.set_back({name for name in self.variables if name.startswith(RESET_EACH_EPOCH)})
        (graph or self.graph)(batch)
        values: dict[str, float] = self.step.execution.logs["train"].result()
        return values

    def run(self, mode: str, *, eager: bool = False) -> ModeOutcome:
        """Take a few steps in a mode, as `fitx train` does, from the state at the start."""
        self.set_back()
        self._prepare(mode)
        if eager:
            self.step.execution.use_plan(replace(self.step.execution.plan, eager=True))
        history = self.step.fit(
            training_feed(self.built),
            epochs=1,
            steps_per_epoch=self.steps,
            verbose=0,
            shuffle=False,
        )
        return ModeOutcome(history.history, capture(self.variables))


def with_rows_of(batch: Any, start: int, stop: int) -> Any:
    """Return some rows of every array of a batch."""
    return tf.nest.map_structure(lambda array: array[start:stop], batch)


def rows_of(batch: Any) -> int:
    """Return the number of rows of a batch; of several streams, of the one with the fewest."""
    return min(int(array.shape[0]) for array in tf.nest.flatten(batch))


def losses(values: Values) -> list[str]:
    """Return the names of losses: `loss` alone if there is one, else names that contain the word.

    A step may log parts of its loss too, which need not fall when it does.
    """
    return ["loss"] if "loss" in values else [name for name in values if "loss" in name]


def not_finite(values: Mapping[str, Any]) -> str:
    """Return the first value that is NaN or infinite, in words; empty if there is none."""
    for name, value in values.items():
        if not np.all(np.isfinite(value)):
            return f"{name} is {np.ravel(value)[-1]:g}"
    return ""


def value_difference(
    expected: Mapping[str, Any], actual: Mapping[str, Any], rtol: float = 0.0, atol: float = 0.0
) -> str:
    """Return the first value that differs by more than a tolerance, in words; empty if none."""
    for name, value in expected.items():
        if name not in actual:
            return f"{name} is missing"
        if not np.allclose(actual[name], value, rtol=rtol, atol=atol, equal_nan=True):
            return (
                f"{name} is {np.ravel(actual[name])[-1]:.6g} instead of {np.ravel(value)[-1]:.6g}"
            )
    return ""
