"""The trainings of a self-test, in processes of their own: uninterrupted, and interrupted."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fitx import checkpoint
from fitx.checkpoint import folders
from fitx.rundir import folder
from fitx.stages import Stage
from fitx.training import child_process
from fitx.training.child_process import EndedProcess, KilledFromOutside
from fitx.training.signals import StopRequest

LONGEST_DELAY = 1.0
"""The most seconds from a checkpoint to the kill that follows it."""

PHASES = {
    "epoch": "after step",
    "validation": "within the validation after step",
    "between": "between two epochs, after step",
}


@dataclass(frozen=True)
class Interruption:
    """An interruption that took place.

    Attributes:
        step: The training step from which the run was resumed.
        phase: The phase of the training then: `epoch`, `validation`, or `between` two epochs.
        killed: Whether the process was killed; otherwise it was asked to stop.
    """

    step: int
    phase: str
    killed: bool

    def __str__(self) -> str:
        return f"{'killed' if self.killed else 'stopped'} {PHASES[self.phase]} {self.step:,}"


@dataclass(frozen=True)
class PlannedInterruption:
    """An interruption that is to take place.

    Attributes:
        step: The training step after which to interrupt the training.
        kill_delay: The seconds from the checkpoint of this step, the last of an epoch, to the kill;
            None asks the process to stop instead.
    """

    step: int
    kill_delay: float | None = None


def plan(
    epochs: Sequence[dict[str, Any]], count: int, chance: random.Random
) -> list[PlannedInterruption]:
    """Choose the moments at which to interrupt a training: a kill, and stops at any other steps.

    Args:
        epochs: The lines of metrics.jsonl of the uninterrupted training, two at least.
        count: The number of interruptions; there are fewer if the training has fewer steps.
        chance: Chooses.
    """
    kill = chance.choice([epoch["step"] for epoch in epochs[:-1]])
    shortest_epoch = min(float(epoch["seconds"]) for epoch in epochs)
    delay = chance.uniform(0, min(LONGEST_DELAY, shortest_epoch / 2))
    others = [step for step in range(1, epochs[-1]["step"]) if step != kill]
    stops = chance.sample(others, min(count - 1, len(others)))
    planned = [PlannedInterruption(kill, delay), *map(PlannedInterruption, stops)]
    return sorted(planned, key=lambda one: one.step)


@dataclass(frozen=True)
class Trainings:
    """Trains one experiment again and again, each time into a folder of its own.

    Args:
        command: The command that starts fitx.
        arguments: The experiment file and the overrides.
        options: The options of `fitx train` and `fitx resume`.
        experiment: The name of the experiment.
        root: The folder for all runs.
        stop: Asked whether a signal came.
    """

    command: Sequence[str]
    arguments: Sequence[str]
    options: Sequence[str]
    experiment: str
    root: Path
    stop: StopRequest

    def uninterrupted(self, name: str) -> Path:
        """Train to the end at once; return the run folder."""
        with Stage("training without interruptions"):
            self._run(self._train(name))
        return self.run_folder(name)

    def interrupted(
        self, name: str, planned: Sequence[PlannedInterruption], last_step: int
    ) -> Iterator[Interruption]:
        """Train to the end with interruptions; yield each of them when it has taken place."""
        command, step = self._train(name), 0
        for one in planned:
            # A kill may come some steps after its checkpoint, and so after the next stop.
            step = max(one.step, step + 1)
            if step >= last_step:
                break
            kill: dict[str, Any] = {}
            stop_after = step
            if one.kill_delay is not None:
                kill = {"kill_when": partial(self._has_checkpoint, name, step)}
                kill |= {"delay": one.kill_delay}
                # If the kill comes too late, the training is interrupted all the same.
                stop_after = last_step - 1
            with Stage(f"training, to be interrupted after step {step:,}"):
                ended = self._run([*command, "--stop-after", str(stop_after)], **kill)
            if ended.code == 0:
                return
            yield (interruption := self._interruption(name, ended))
            step = interruption.step
            command = [*self.command, "resume", str(self.run_folder(name)), *self.options]
        with Stage("training to the end"):
            self._run(command)

    def run_folder(self, name: str) -> Path:
        """Return the run folder of a training."""
        return self._runs(name)[0]

    def _train(self, name: str) -> list[str]:
        out = ["--out", str(self.root / name)]
        return [*self.command, "train", *self.arguments, *out, *self.options]

    def _run(self, command: Sequence[str], **kill: Any) -> EndedProcess:
        temporary = self.root / "temporary"
        temporary.mkdir(exist_ok=True)
        ended = child_process.run(command, temporary, self.stop, **kill)
        ended.check(may_stop="--stop-after" in command)
        return ended

    def _runs(self, name: str) -> list[Path]:
        return folder.runs(self.root / name / self.experiment)

    def _has_checkpoint(self, name: str, step: int) -> bool:
        """Return whether there is a checkpoint of this step or a later one."""
        steps = [
            folders.order(saved.name)[0]
            for run in self._runs(name)
            for saved in folders.listed(run / "checkpoints")
        ]
        return max(steps, default=0) >= step

    def _interruption(self, name: str, ended: EndedProcess) -> Interruption:
        runs = self._runs(name)
        newest = checkpoint.newest(runs[0] / "checkpoints") if runs else None
        if newest is None:
            # The self-test interrupts no run before its first checkpoint.
            raise KilledFromOutside(signal.SIGTERM)
        return Interruption(newest.step, newest.meta["phase"], ended.is_killed)
