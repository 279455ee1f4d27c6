"""Trainings of one experiment in processes of their own: straight to the end, and interrupted."""

from __future__ import annotations

import math
import random
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fitx import checkpoint
from fitx.commands.selftest import child
from fitx.commands.selftest.child import KILLED, STOPPED, ChildFailed, Ended, KilledFromOutside
from fitx.commands.selftest.difference import Outcome, outcome
from fitx.commands.selftest.interruptions import Instant, Interruption, Planned
from fitx.experiment.experiment import Experiment
from fitx.rundir import journal, record
from fitx.rundir.folder import LATEST, RECORD
from fitx.stages import Stage

MOST_STEPS = 100
"""Of an epoch, and of a validation; longer ones are cut short for the test."""

LONGEST_DELAY = 1.0
"""Seconds from a checkpoint to the kill that is to come some time after it."""

STRAIGHT, INTERRUPTED = "straight", "interrupted"


class Trainings:
    """Trains an experiment again and again.

    Args:
        command: What starts fitx.
        options: Of `fitx train` and `fitx resume`.
        experiment: The experiment, its plugins not imported.
        words: The command line's, by which it is trained: the file, and changes.
        root: A folder for all runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        options: Sequence[str],
        experiment: Experiment,
        words: Sequence[str],
        root: Path,
    ) -> None:
        self.command, self.options, self.experiment, self.root = command, options, experiment, root
        # All checkpoints stay, so that those of two runs can be compared.
        self.words = [*words, "checkpoint.every=epoch", "checkpoint.keep=1000"]

    def run(self, name: str) -> Path:
        """Return the folder of a run; that of the link to it where there is none yet."""
        return self._link(name).resolve()

    def first(self) -> tuple[Outcome, dict[str, Any], list[str]]:
        """Train straight to the end, with what keeps a test short and all its runs alike.

        Returns:
            What the run came to, what run.json says of it, and changes made to the experiment.
        """
        look = _Look(self.experiment, self._link(STRAIGHT))
        with Stage("training without interruptions"):
            ended = self._run(self._training(STRAIGHT), look)
            if look():
                shutil.rmtree(self.root / STRAIGHT)
                self.words += look.changes
                ended = self._run(self._training(STRAIGHT))
        _demand(ended, 0)
        run = self.run(STRAIGHT)
        return outcome(run), record.load(run), look.changes

    def straight(self, name: str, stop_after: int | None = None) -> Outcome:
        """Train once more without an interruption, to the end or up to a step."""
        stop = ["--stop-after", str(stop_after)] if stop_after is not None else []
        with Stage("training without interruptions once more"):
            ended = self._run([*self._training(name), *stop])
        _demand(ended, *((STOPPED,) if stop else (0,)))
        return outcome(self.run(name), self._newest(name, ended) if stop else None)

    def interrupted(
        self, plan: Sequence[Planned], steps: int, chance: random.Random
    ) -> Iterator[Interruption]:
        """Train with interruptions to the end; yield each interruption when it has taken place.

        Args:
            plan: The interruptions, in their order.
            steps: Of the whole training.
            chance: Chooses the instants of kills, and steps anew where a kill came too late.
        """
        command, last = self._training(INTERRUPTED), 0
        for planned in plan:
            if planned.step <= last:
                if last + 1 >= steps:
                    break
                planned = Planned(chance.randrange(last + 1, steps))
            with Stage(f"training, to be interrupted at step {planned.step:,}"):
                ended = self._until(planned, command, chance)
            _demand(ended, 0, STOPPED, KILLED)
            if ended.code == 0:
                return
            now = self._interruption(ended)
            yield now
            last, command = now.step, self._resumption()
        with Stage("training to the end"):
            ended = self._run([*command, "checkpoint.every=epoch"])
        _demand(ended, 0)

    def _until(self, planned: Planned, command: Sequence[str], chance: random.Random) -> Ended:
        """Train until an interruption."""
        if planned.every is None:
            stop = ["--stop-after", str(planned.step), "checkpoint.every=epoch"]
            return self._run([*command, *stop])
        delay = min(LONGEST_DELAY, self._seconds() / 2) * chance.random()
        instant = Instant(self._link(INTERRUPTED) / "checkpoints", planned.step, delay)
        return self._run([*command, f"checkpoint.every={planned.every}"], instant)

    def _seconds(self) -> float:
        """Return what the shortest epoch of the straight run took."""
        return min(float(line["seconds"]) for line in journal.read(self.run(STRAIGHT)))

    def _run(self, command: Sequence[str], is_enough: Callable[[], bool] | None = None) -> Ended:
        temporary = self.root / "temporary"
        temporary.mkdir(exist_ok=True)
        return child.run(command, temporary, is_enough)

    def _link(self, name: str) -> Path:
        return self.root / name / self.experiment.name / LATEST

    def _training(self, name: str) -> list[str]:
        out = ["--out", str(self.root / name)]
        return [*self.command, "train", *self.words, *out, *self.options]

    def _resumption(self) -> list[str]:
        return [*self.command, "resume", str(self.run(INTERRUPTED)), *self.options]

    def _newest(self, name: str, ended: Ended) -> str:
        newest = checkpoint.newest(self.run(name) / "checkpoints")
        if newest is None:
            # The test interrupts no run before its first checkpoint.
            raise _killed_from_outside(ended)
        return newest.folder.name

    def _interruption(self, ended: Ended) -> Interruption:
        name = self._newest(INTERRUPTED, ended)
        meta = checkpoint.verify(self.run(INTERRUPTED) / "checkpoints" / name)
        return Interruption(meta["step"], meta["phase"], ended.code == KILLED, name)


class _Look:
    """A look at a run that has just begun: whether it is to begin anew, with changes.

    Attributes:
        changes: To the experiment.
    """

    def __init__(self, experiment: Experiment, run: Path) -> None:
        self.experiment, self.run = experiment, run
        self.changes: list[str] = []
        self._is_over = False

    def __call__(self) -> bool:
        if not self._is_over and (self.run / RECORD).exists():
            self.changes = list(_changes(self.experiment, record.load(self.run)))
            self._is_over = True
        return bool(self.changes)


def _changes(experiment: Experiment, facts: dict[str, Any]) -> Iterator[str]:
    """Yield what cuts a run short, and what two runs might choose differently."""
    fit, size = experiment.fit, experiment.as_mapping()["data"]["batch_size"]
    asked = {"train": fit.steps_per_epoch, "validation": fit.validation_steps}
    for split, key in (("train", "steps_per_epoch"), ("validation", "validation_steps")):
        rows = facts["data"].get(split, {}).get("rows", 0)
        if (asked[split] or math.ceil(rows / size)) > MOST_STEPS:
            yield f"fit.{key}={MOST_STEPS}"
    if experiment.execution.mode == "measure":
        yield f"execution.mode={facts['mode']}"


def _demand(ended: Ended, *codes: int) -> None:
    """Raise ChildFailed for a process that ended in another way than it may."""
    if ended.code in {KILLED, STOPPED} - {*codes}:
        raise _killed_from_outside(ended)
    if ended.code not in codes:
        # The run's folder will be gone, or that of all runs is named.
        lines = [line for line in ended.said.splitlines() if not line.startswith("run: ")]
        text = "\n".join(lines) or f"a process ended with code {ended.code}."
        raise ChildFailed(text, ended.code)


def _killed_from_outside(ended: Ended) -> KilledFromOutside:
    number = signal.SIGKILL if ended.code == KILLED else signal.SIGTERM
    return KilledFromOutside(
        f"a training was ended by a {number.name} that the test did not send, which proves "
        "nothing; perhaps the memory was full. Run the test again."
    )
