"""`BuiltExperiment`: the step, the data and the steps per epoch of one experiment, ready to run."""

from __future__ import annotations

from dataclasses import dataclass, field

from fitx.build.trained_weights import InitialWeights
from fitx.data.prepare import Data
from fitx.experiment.experiment import Experiment
from fitx.step import Step


@dataclass(frozen=True)
class BuiltExperiment:
    """An experiment's step with its networks, and its data.

    Args:
        experiment: What it was built from.
        step: The compiled step, its networks inside.
        data: The splits, ready to be fed.
        steps_per_epoch: Training steps an epoch.
        unmeasured: Splits that were left out, because the step cannot measure.
        initial_weights: The weights of other runs, by the network that started with them.
    """

    experiment: Experiment
    step: Step
    data: Data
    steps_per_epoch: int
    unmeasured: tuple[str, ...] = ()
    initial_weights: dict[str, InitialWeights] = field(default_factory=dict)

    @property
    def total_steps(self) -> int:
        """Training steps in all."""
        return self.steps_per_epoch * self.experiment.fit.epochs

    def evaluation_steps(self, split: str) -> int:
        """Return the batches of one evaluation; `fit.validation_steps` limits validation."""
        limit = self.experiment.fit.validation_steps if split == "validation" else None
        steps = self.data.steps(split)
        return min(steps, limit) if limit else steps
