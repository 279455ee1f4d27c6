"""Tests that a training resumes exactly: train it straight and interrupted, compare the results."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fitx.commands.selftest.child_process import ChildFailed
from fitx.commands.selftest.differences import differences, results
from fitx.commands.selftest.trainings import Interruption, Trainings, plan
from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.rundir import journal, record
from fitx.training.signals import listening

FEWEST_EPOCHS, MOST_EPOCHS = 2, 3
"""The range of epochs that are trained unless the user says how many."""

ADVICE = (
    "On resume only this is restored: variables, lookup tables and keras.random.SeedGenerators of "
    "the step, the random states of Python and NumPy, and what get_state of a callback returns."
)

Notify = Callable[[str], None]
"""Takes each line on the progress of the self-test."""


@dataclass(frozen=True)
class SelftestRequest:
    """The self-test that the user asked for.

    Args:
        experiment: The experiment; its plugins have not been imported.
        arguments: The experiment file and the overrides, as on the command line.
        epochs: The epochs to train; 2 at least; None for the experiment's own, 2 or 3.
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
        """The verdict, and what differs, for people to read."""
        count = len(self.interruptions)
        steps = ", ".join(f"{one.step:,}" for one in self.interruptions)
        after = f"{count} interruption{'s' * (count != 1)} (step{'s' * (count != 1)} {steps})"
        if not self.differences:
            are = "1 array is" if self.arrays == 1 else f"{self.arrays:,} arrays are"
            return f"exact: {are} equal to the bit after {after}"
        kept = f"The runs are kept in {self.kept}."
        if self.unreproducible:
            return (
                "not reproducible: two trainings differ even without an interruption\n"
                f"first difference: {self.unreproducible}\n"
                "Seed every random generator, or set execution.deterministic=true.\n"
                f"{kept}"
            )
        lines = [f"not exact: the training ends differently after {after}"]
        lines += [f"first difference: {self.differences[0]}"]
        logged = next((d for d in self.differences[1:] if d.startswith(journal.NAME)), None)
        lines += [f"first logged difference: {logged}"] if logged else []
        lines += [ADVICE, f"To repeat the interruptions: --seed {self.seed}", kept]
        return "\n".join(lines)

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
        KilledFromOutside: A signal that the self-test did not send ended a training.
        Interrupted: A signal came.
    """
    _check(request)
    asked, name = request.experiment.fit.epochs, request.experiment.name
    epochs = request.epochs or max(FEWEST_EPOCHS, min(asked, MOST_EPOCHS))
    arguments = [*request.arguments, f"fit.epochs={epochs}", "checkpoint.every=epoch"]
    arguments += ["expect={}"] if request.experiment.expect else []
    with listening() as stop, _temporary_folder() as (root, keep):
        trainings = Trainings(request.command, arguments, request.options, name, root, stop)
        notify(f"{name}: training {epochs:,} epochs, once straight and once interrupted")
        straight = trainings.uninterrupted("straight")
        mode, steps = record.load(straight)["mode"], journal.read(straight)[-1]["step"]
        notify(f"straight: {steps:,} steps, mode {mode}")
        if request.experiment.execution.mode == "measure":
            # Two trainings could measure differently.
            trainings = replace(trainings, arguments=[*arguments, f"execution.mode={mode}"])
        interruptions = _interrupt(request, trainings, notify, keep)
        expected = results(straight)
        found = differences(expected, results(trainings.run_folder("interrupted")))
        arrays = sum(isinstance(value, np.ndarray) for value in expected.values())
        tested = (name, epochs, steps, mode, request.seed, arrays, interruptions, found)
        if not found:
            return SelftestReport(*tested)
        keep()
        notify("the results differ; training once more without interruptions")
        again = differences(expected, results(trainings.uninterrupted("again")))
        return SelftestReport(*tested, unreproducible=again[0] if again else None, kept=root)


def _check(request: SelftestRequest) -> None:
    if not request.experiment.fit.epochs:
        raise UsageError("fit.epochs is 0, so there is no training to interrupt.")
    if request.experiment.execution.strategy == "multi_worker":
        raise UsageError(
            "the self-test trains in a single process; test the step with "
            "`execution.strategy=mirrored execution.virtual_devices=2`."
        )


@contextmanager
def _temporary_folder() -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield a temporary folder, and a function that lets it stay."""
    root = Path(tempfile.mkdtemp(prefix="fitx-selftest-"))
    kept: list[bool] = []
    try:
        yield root, lambda: kept.append(True)
    finally:
        if not kept:
            shutil.rmtree(root, ignore_errors=True)


def _interrupt(
    request: SelftestRequest, trainings: Trainings, notify: Notify, keep: Callable[[], None]
) -> list[Interruption]:
    """Train with interruptions; return those that took place."""
    epochs = journal.read(trainings.run_folder("straight"))
    if len(epochs) < FEWEST_EPOCHS:
        raise UsageError(
            "a callback ended the training in its first epoch; the self-test needs two epochs."
        )
    done: list[Interruption] = []
    planned = plan(epochs, request.stops, random.Random(request.seed))
    try:
        for interruption in trainings.interrupted("interrupted", planned):
            notify(f"interrupted: {interruption}")
            done.append(interruption)
    except ChildFailed as error:
        if not done:
            raise
        keep()
        text = f"{error}\nThe training fails only after it was {done[-1]}."
        text += f"\nThe runs are kept in {trainings.root}."
        raise ChildFailed(text, error.exit_code) from None
    if not done:
        raise UsageError("the training ended before it could be killed; try more --epochs.")
    return done
