"""Checks of a step that need processes of their own: several devices, and exact resume."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from fitx.commands.test_step.execution_checks import ROUNDING
from fitx.commands.test_step.finding import FAILED, NOT_CHECKED, OK, Verdict
from fitx.commands.test_step.probed_step import ProbedStep, value_difference
from fitx.errors import DeviceError, UsageError
from fitx.rundir import folder, journal
from fitx.training import child_process
from fitx.training.child_process import ChildFailed
from fitx.training.signals import StopRequest
from fitx.training.train_request import shortened

RESUMED_STEPS = 6
"""The most steps of each of the two epochs that are interrupted and resumed."""


@dataclass(frozen=True)
class ChildCommands:
    """Runs commands of fitx on the experiment in child processes.

    Args:
        command: The command that starts fitx.
        arguments: The experiment file and the overrides, as on the command line.
        stop: Asked whether this process has received a signal.
    """

    command: Sequence[str]
    arguments: Sequence[str]
    stop: StopRequest

    def run(self, *words: str, more: Sequence[str] = ()) -> tuple[int, str]:
        """Run a subcommand on the experiment; return its exit code and its error, if any.

        Args:
            words: The subcommand.
            more: Words after the overrides.
        """
        command = [*self.command, *words, *self.arguments, *more, "-q"]
        ended = child_process.run(command, Path(tempfile.gettempdir()), self.stop)
        try:
            ended.check()
        except ChildFailed as error:
            return error.exit_code, str(error)
        return 0, ""


def check_devices(probed: ProbedStep, children: ChildCommands) -> Verdict:
    """Check that two virtual devices give the values of one."""
    experiment = probed.built.experiment
    if experiment.execution.strategy != "auto":
        return NOT_CHECKED, f"execution.strategy is {experiment.execution.strategy}"
    if experiment.execution.device.startswith("gpu"):
        return NOT_CHECKED, "execution.device is gpu; virtual devices are parts of the CPU"
    changes = ["execution.strategy=mirrored", "execution.virtual_devices=2"]
    changes += ["execution.device=cpu", "execution.mode=auto", "execution.eager=false"]
    with tempfile.TemporaryDirectory(prefix="fitx-test-step-") as out:
        code, error = children.run("train", more=[*changes, "--smoke", "--out", out])
        if code in (UsageError.exit_code, DeviceError.exit_code):
            return NOT_CHECKED, error
        if code:
            return FAILED, f"the training on two devices fails:\n{error}"
        name = shortened(experiment).name
        (line,) = journal.read(folder.runs(Path(out) / name)[0])
    keras.utils.set_random_seed(experiment.seed)
    alone = ProbedStep(shortened(experiment), probed.device).run("plain").values
    expected = {name: values[-1] for name, values in alone.items()}
    difference = value_difference(expected, line, ROUNDING, ROUNDING / 10)
    if not difference:
        return OK, "two devices give the values of one"
    if probed.is_random:
        return OK, "two devices run; not compared, because each draws random numbers of its own"
    if not probed.is_row_mean:
        return OK, "two devices run; not compared, because the loss is no mean over the rows"
    return FAILED, (
        f"on two devices, {difference}. Each device computes its rows of a batch: a loss and a "
        "returned value have to be means over rows (docs/execution.md)."
    )


def check_resume(probed: ProbedStep, children: ChildCommands) -> Verdict:
    """Check by `fitx selftest resume` that an interrupted training ends with the same bits."""
    steps = min(RESUMED_STEPS, probed.built.steps_per_epoch)
    limits = [f"fit.steps_per_epoch={steps}", "--epochs", "2", "--stops", "1", "--seed", "1"]
    code, error = children.run("selftest", "resume", more=limits)
    if code:
        return NOT_CHECKED if code == UsageError.exit_code else FAILED, error
    return OK, "a training that is interrupted and resumed ends with the same bits"
