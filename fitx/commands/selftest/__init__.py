"""The self-test of resuming: trains with and without interruptions, and compares the results."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fitx.commands.selftest.differences import differences, results
from fitx.commands.selftest.trainings import Interruption, Trainings, plan
from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.rundir import journal, record
from fitx.training.child_process import ChildFailed
from fitx.training.signals import listening

FEWEST_EPOCHS, MOST_EPOCHS = 2, 3
"""The range of epochs that are trained unless the user says how many."""

ADVICE = (
    "Resuming restores variables, lookup tables and keras.random.SeedGenerators of the step, the "
    "random states of Python and NumPy, and what get_state of each callback returns. Keep all "
    "state in one of these."
)
"""The last but one line of a report on a training that does not resume exactly."""

Notify = Callable[[str], None]
"""A function that shows one line of progress."""


@dataclass(frozen=True)
class SelftestRequest:
    """The self-test that the user asked for.

    Args:
        experiment: The experiment; its plugins have not been imported.
        arguments: The experiment file and the overrides, as on the command line.
        epochs: The epochs to train, 2 at least; None for the experiment's own, limited to 2 or 3.
        stops: The number of interruptions.
        seed: Seeds the choice of the interruptions.
        command: The command that starts fitx.
        options: The options for `fitx train` and `fitx resume`.
    """

    experiment: Experiment
    arguments: Sequence[str]
    epochs: int | None
    stops: int
    seed: int
    command: Sequence[str]
    options: Sequence[str]


@dataclass(frozen=True)
class SelftestReport:
    """The result of a self-test.

    Attributes:
        experiment: The name of the experiment.
        epochs: The epochs that were trained.
        steps: The training steps of all epochs.
        mode: The execution mode.
        seed: The seed of the interruptions.
        arrays: The number of arrays that were compared.
        interruptions: The interruptions that took place.
        differences: What differs between the results, causes before consequences.
        unreproducible: The first difference between two uninterrupted trainings; None if they are
            the same.
        kept: The folder of the runs, if they differ.
    """

    experiment: str
    epochs: int
    steps: int
    mode: str
    seed: int
    arrays: int
    interruptions: list[Interruption]
    differences: list[str]
    unreproducible: str | None = None
    kept: Path | None = None

    @property
    def text(self) -> str:
        """The verdict and the first differences, for people to read."""
        numbers = ", ".join(f"{one.step:,}" for one in self.interruptions)
        steps = f"step{'s' * (len(self.interruptions) > 1)} {numbers}"
        if not self.differences:
            all_equal = f"all {self.arrays:,} arrays and all logged values are equal to the bit"
            return f"exact: {all_equal}; interrupted at {steps}"
        if self.unreproducible is not None:
            lines = ["not reproducible: two trainings differ even without an interruption"]
            lines += [f"first difference: {self.unreproducible}"]
            lines += ["Seed every random generator, or set execution.deterministic=true."]
        else:
            lines = [f"not exact: the training ends differently if it is interrupted at {steps}"]
            lines += [f"first difference: {self.differences[0]}"]
            logged = [text for text in self.differences[1:] if text.startswith(journal.NAME)]
            lines += [f"first logged difference: {text}" for text in logged[:1]]
            lines += [ADVICE, f"To repeat this, add --seed {self.seed}."]
        return "\n".join([*lines, f"The runs are kept in {self.kept}."])

    def to_json(self) -> dict[str, Any]:
        """Return the report as the one JSON object of `--json`."""
        return {
            **vars(self),
            "exact": not self.differences,
            "interruptions": [vars(one) for one in self.interruptions],
            "kept": str(self.kept) if self.kept is not None else None,
        }


def selftest(request: SelftestRequest, notify: Notify) -> SelftestReport:
    """Train an experiment straight and interrupted, and compare the results.

    Raises:
        UsageError: The training cannot be interrupted.
        ChildFailed: A training failed.
        KilledFromOutside: A signal that fitx did not send ended a training.
        Interrupted: A signal came.
    """
    _check(request)
    name, execution = request.experiment.name, request.experiment.execution
    epochs = request.epochs or max(FEWEST_EPOCHS, min(request.experiment.fit.epochs, MOST_EPOCHS))
    arguments = [*request.arguments, f"fit.epochs={epochs}", "checkpoint.every=epoch"]
    arguments += ["expect={}"] if request.experiment.expect else []
    with listening() as stop, ExitStack() as cleanup:
        root = Path(tempfile.mkdtemp(prefix="fitx-selftest-"))
        cleanup.callback(shutil.rmtree, root, ignore_errors=True)
        trainings = Trainings(request.command, arguments, request.options, name, root, stop)
        notify(f"{name}: training {epochs:,} epochs, once straight and once interrupted")
        run = trainings.uninterrupted("straight")
        mode, steps = record.load(run)["mode"], journal.read(run)[-1]["step"]
        notify(f"straight: {steps:,} steps, mode {mode}")
        if execution.mode == "measure":
            # Two trainings could measure differently.
            trainings = replace(trainings, arguments=[*arguments, f"execution.mode={mode}"])
        interruptions = _interrupt(request, trainings, notify, cleanup)
        straight, interrupted = results(run), results(trainings.run_folder("interrupted"))
        report = SelftestReport(
            *(name, epochs, steps, mode, request.seed),
            arrays=sum(isinstance(result, np.ndarray) for result in straight.values()),
            interruptions=interruptions,
            differences=differences(straight, interrupted),
        )
        if not report.differences:
            return report
        cleanup.pop_all()
        notify("the results differ; training once more without interruptions")
        repeated = differences(straight, results(trainings.uninterrupted("repeated")))
        return replace(report, unreproducible=next(iter(repeated), None), kept=root)


def _check(request: SelftestRequest) -> None:
    if not request.experiment.fit.epochs:
        raise UsageError("fit.epochs is 0, so there is no training to interrupt.")
    if request.experiment.execution.strategy == "multi_worker":
        raise UsageError(
            "the self-test trains in a single process; test the step with "
            "`execution.strategy=mirrored execution.virtual_devices=2`."
        )


def _interrupt(
    request: SelftestRequest, trainings: Trainings, notify: Notify, cleanup: ExitStack
) -> list[Interruption]:
    """Train with interruptions; return those that took place."""
    epochs = journal.read(trainings.run_folder("straight"))
    if len(epochs) < FEWEST_EPOCHS:
        raise UsageError(
            "a callback ended the training in its first epoch; the self-test needs two epochs."
        )
    interruptions: list[Interruption] = []
    planned, last_step = (
        plan(epochs, request.stops, random.Random(request.seed)),
        epochs[-1]["step"],
    )
    try:
        for interruption in trainings.interrupted("interrupted", planned, last_step):
            notify(f"interrupted: {interruption}")
            interruptions.append(interruption)
    except ChildFailed as error:
        if not interruptions:
            raise
        cleanup.pop_all()
        text = f"{error}\nThe training fails only after it was {interruptions[-1]}."
        text += f"\nThe runs are kept in {trainings.root}."
        raise ChildFailed(text, error.exit_code) from None
    if not interruptions:
        raise UsageError("the training ended before it was interrupted; try more --epochs.")
    return interruptions
