"""Which mode a trial's steps are executed in."""

from __future__ import annotations

from fitx.build.trial import Trial
from fitx.engine.mode import MODES


def settle(trial: Trial, kinds: tuple[str, ...]) -> None:
    """Set the mode of the traced steps as the experiment asks for it."""
    asked = trial.experiment.execution.mode
    for kind in kinds:
        trial.step.execution.modes[kind] = MODES.get(asked, MODES["plain"])
