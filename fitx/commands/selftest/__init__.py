"""Prove that an experiment goes on exactly: train it straight, train it interrupted, compare."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fitx.checkpoint import folders
from fitx.commands.selftest.child import ChildFailed, ended_by_signals
from fitx.commands.selftest.difference import Difference, Outcome, differences, outcome
from fitx.commands.selftest.hints import hint
from fitx.commands.selftest.interruptions import Interruption, plan
from fitx.commands.selftest.trainings import INTERRUPTED, STRAIGHT, Trainings
from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment

MOST_EPOCHS = 3

Say = Callable[[str], None]
"""Hears what is going on."""


@dataclass(frozen=True)
class Order:
    """What is to be tried.

    Args:
        experiment: The experiment, its plugins not imported.
        words: The command line's, by which a process of its own trains it: the file, and changes.
        epochs: How many to train; None for all, and `MOST_EPOCHS` at most.
        stops: How many interruptions.
        seed: What their choice follows from.
        command: What starts fitx.
        options: Of `fitx train` and `fitx resume`.
    """

    experiment: Experiment
    words: Sequence[str]
    epochs: int | None
    stops: int
    seed: int
    command: Sequence[str]
    options: Sequence[str]


@dataclass(frozen=True)
class Report:
    """What came out.

    Attributes:
        facts: What was tried, as JSON has it.
        arrays: How many arrays were compared.
        interruptions: Where the run was interrupted.
        differences: In what it did not end as the one that was not interrupted.
        finding: What is to say of the first of them; empty without any.
        kept: The folder of both runs, if they differ.
    """

    facts: dict[str, Any]
    arrays: int
    interruptions: list[Interruption]
    differences: list[Difference]
    finding: str = ""
    kept: Path | None = None

    @property
    def text(self) -> str:
        """The result, as people read it."""
        count = len(self.interruptions)
        steps = ", ".join(f"{one.step:,}" for one in self.interruptions)
        after = f"after {count} interruption{'s' * (count != 1)} (step{'s' * (count != 1)} {steps})"
        if not self.differences:
            are = "1 array is" if self.arrays == 1 else f"{self.arrays:,} arrays are"
            return f"exact: {are} equal to the bit {after}"
        lines = [f"not exact: the run does not end as it would have ended {after}", self.finding]
        lines += [f"repeat: --seed {self.facts['seed']}", f"kept: {self.kept}"]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the report as the one JSON object of `--json`."""
        return {
            **self.facts,
            "exact": not self.differences,
            "arrays": self.arrays,
            "interruptions": [one.to_json() for one in self.interruptions],
            "differences": [str(one) for one in self.differences],
            "kept": str(self.kept) if self.kept is not None else None,
        }


def selftest(order: Order, say: Say) -> Report:
    """Train an experiment straight and interrupted, and compare what comes out.

    Raises:
        UsageError: There is no step at which the training could be interrupted.
        ChildFailed: The training failed, be it after an interruption.
        KilledFromOutside: A signal that the test did not send ended a training.
        Interrupted: A signal came.
    """
    epochs = _epochs(order)
    with ended_by_signals(), _folder() as (root, keep):
        words = [*order.words, f"fit.epochs={epochs}"]
        words += ["expect={}"] if order.experiment.expect else []
        trainings = Trainings(order.command, order.options, order.experiment, words, root)
        say(_opening(order, epochs))
        straight, facts, changes = trainings.first()
        for change in changes:
            say(f"for this test: {change}")
        steps = straight.facts["step"]
        say(f"straight: {steps:,} steps, mode {facts['mode']}")
        interruptions = _interrupted(order, trainings, straight, say, keep)
        found = outcome(trainings.run(INTERRUPTED))
        different = differences(straight, found)
        tried = {"experiment": order.experiment.name, "epochs": epochs, "steps": steps}
        tried |= {"mode": facts["mode"], "changes": changes, "seed": order.seed}
        if not different:
            return Report(tried, len(straight.state), interruptions, [])
        keep()
        say("they differ; looking for the interruption to blame")
        finding = _finding(trainings, straight, interruptions, different)
        return Report(tried, len(straight.state), interruptions, different, finding, root)


def _epochs(order: Order) -> int:
    asked = order.experiment.fit.epochs
    epochs = order.epochs if order.epochs is not None else min(asked, MOST_EPOCHS)
    if not epochs:
        raise UsageError("fit.epochs is 0, so there is no training to interrupt.")
    if order.experiment.execution.strategy == "multi_worker":
        raise UsageError(
            "the test trains in one process; try the step with `execution.strategy=mirrored "
            "execution.virtual_devices=2`."
        )
    return epochs


def _opening(order: Order, epochs: int) -> str:
    asked = order.experiment.fit.epochs
    of_all = f"{epochs:,} of {asked:,} epochs" if epochs < asked else f"{epochs:,} epochs"
    return f"{order.experiment.name}: {of_all}, interrupted at steps chosen by --seed {order.seed}"


@contextmanager
def _folder() -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield a temporary folder, and what is to be called to keep it."""
    root = Path(tempfile.mkdtemp(prefix="fitx-selftest-"))
    kept: list[bool] = []
    try:
        yield root, lambda: kept.append(True)
    finally:
        if not kept:
            shutil.rmtree(root, ignore_errors=True)


def _interrupted(
    order: Order, trainings: Trainings, straight: Outcome, say: Say, keep: Callable[[], None]
) -> list[Interruption]:
    """Train with interruptions; return those that took place."""
    steps = straight.facts["step"]
    if steps < 2:
        raise UsageError("the training has a single step, so it cannot be interrupted.")
    per_epoch = straight.epochs[0]["step"]
    done: list[Interruption] = []
    chance = random.Random(order.seed)
    planned = plan(steps, per_epoch, order.stops, chance)
    try:
        for one in trainings.interrupted(planned, steps, chance):
            say(f"interrupted: {one}")
            done.append(one)
    except ChildFailed as error:
        if not done:
            raise
        keep()
        text = f"{error}\nit fails only after it was {done[-1]}; kept: {trainings.root}"
        raise ChildFailed(text, error.exit_code) from None
    if not done:
        raise UsageError("the training was over before it could be killed; try more --epochs.")
    return done


def _finding(
    trainings: Trainings,
    straight: Outcome,
    interruptions: Sequence[Interruption],
    different: Sequence[Difference],
) -> str:
    """Say what differs first, after which interruption, and what may be the reason."""
    again = differences(straight, trainings.straight("again"))
    if again:
        return (
            f"no interruption is to blame: two runs without one differ too, first {again[0]}\n"
            "the experiment must give the same numbers twice: see `execution.deterministic`, and "
            "random numbers without a seed"
        )
    run = trainings.run(INTERRUPTED)
    # After the last step, nothing of a training is left to change.
    within = [one for one in interruptions if one.step < straight.facts["step"]] or interruptions
    blamed, seen, first = within[-1], "at the end", different[0]
    for before, following in pairwise(within):
        expected = _reference(trainings, following)
        found = differences(expected, outcome(run, following.folder))
        if found:
            blamed, seen, first = before, f"at step {following.step:,}", found[0]
            break
    callbacks = straight.facts["callbacks"]
    return (
        f"first: {first}\nseen {seen}, after the run was {blamed}\nhint: {hint(first, callbacks)}"
    )


def _reference(trainings: Trainings, at: Interruption) -> Outcome:
    """Return what a run without interruptions is at the step of an interruption."""
    if at.phase == "between":
        return outcome(trainings.run(STRAIGHT), folders.name(at.step))
    return trainings.straight(f"up-to-{at.step}", at.step)
