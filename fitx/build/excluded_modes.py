"""Names the execution modes that a step cannot use, or that would take too long to try."""

from __future__ import annotations

from fitx.build.built import BuiltExperiment
from fitx.build.execution_setup import ModeInputs
from fitx.build.step_feeds import batch_layout
from fitx.engine.modes.auto import is_practical
from fitx.engine.modes.execution_modes import MODES

TOO_SLOW = "left out: XLA can take minutes to compile and run convolutions in a loop on a CPU"


def excluded_modes(built: BuiltExperiment, device_kind: str) -> dict[str, str]:
    """Return the modes to leave out, with the reasons; the mode of `fitx train` is never left out.

    Args:
        built: The experiment; its execution is prepared.
        device_kind: "cpu" or "gpu".
    """
    batches = batch_layout(built, "train", "train")
    inputs = ModeInputs(built, "train", batches, built.total_steps, device_kind)
    train_mode, obstacle = (
        built.step.execution.plan.modes["train"],
        inputs.full_batch_graph.obstacle,
    )
    reasons = {}
    for mode in MODES.values():
        if mode.xla and obstacle is not None:
            reasons[mode.name] = f"XLA cannot compile {obstacle}"
        elif mode is not train_mode and not is_practical(mode, inputs.work, inputs.device_kind):
            reasons[mode.name] = TOO_SLOW
    return reasons
