"""Going on with a run: what is asked for, found and refused before TensorFlow is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fitx.errors import StorageError, UsageError
from fitx.experiment.checks.callback_files import refuse_elsewhere
from fitx.experiment.checks.paths import input_files
from fitx.experiment.dump import dump
from fitx.experiment.experiment import Experiment
from fitx.json_text import json_ready
from fitx.rundir import folder, record, run_environment, summary_file
from fitx.rundir.file_schemas import number
from fitx.rundir.fingerprint import check_present, fingerprints
from fitx.rundir.lock import hold
from fitx.rundir.saved_experiment import EXPERIMENT, read_unimported
from fitx.training.expectations import judge
from fitx.training.result import Result, relative_to_cwd
from fitx.training.resumption import changes
from fitx.training.resumption.auto_resume import changed_plugin, newest_resumable
from fitx.training.resumption.changes import Change


@dataclass(frozen=True)
class ResumeRequest:
    """A run that is to go on; its lock is held.

    Args:
        run: Its folder.
        trained: The experiment as the run had it so far.
        experiment: As it is to go on, changes included.
        facts: What run.json says.
        changes: What differs from the experiment as it was trained.
        allow_inexact: Whether to go on where the result will not be the same to the bit.
        stop_after: The training step after which to stop as if by SIGTERM; None for the end.
        notes: What differs and does not keep the run from going on.
    """

    run: Path
    trained: Experiment
    experiment: Experiment
    facts: dict[str, Any]
    changes: tuple[Change, ...] = ()
    allow_inexact: bool = False
    stop_after: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def modes(self) -> dict[str, str] | None:
        """How training ("train") and evaluation ("test") were executed; None where that is new."""
        if self.changes_below("execution.mode"):
            return None
        return {"train": self.facts["mode"], "test": self.facts["evaluation_mode"]}

    def changes_below(self, key: str) -> bool:
        """Whether anything that stands at or below a key has changed."""
        return any(change.key == key or change.key.startswith(f"{key}.") for change in self.changes)

    def on_threads(self, available: int) -> Experiment:
        """Return the experiment on the threads that the run had, on a machine with others too."""
        had, asked = self.facts["threads"], self.experiment.execution
        if asked.threads is not None or had == available:
            return self.experiment
        return replace(self.experiment, execution=asked.model_copy(update={"threads": had}))

    @property
    def rewritten(self) -> str | None:
        """What experiment.yaml is to say from now on; None where nothing has changed."""
        if not self.changes:
            return None
        return dump(self.experiment, plugins=list(self.facts["plugins"]))


@contextmanager
def open_for_resume(
    run: Path, words: Sequence[str], *, allow_inexact: bool
) -> Iterator[ResumeRequest]:
    """Hold a run while it goes on, changed by words of the command line.

    Raises:
        BusyError: Another process holds it.
        UsageError: The changes are not allowed, or the run would write outside of its folder.
        ConfigError, StorageError: The run cannot be read.
    """
    with hold(run):
        asked = read_unimported(run, words)
        trained = read_unimported(run) if words else asked
        refuse_elsewhere(asked, run)
        yield _judged(run, trained, asked, allow_inexact=allow_inexact)


@contextmanager
def open_for_resume_from_file(
    run: Path, asked: Experiment, *, allow_inexact: bool
) -> Iterator[ResumeRequest]:
    """Hold a run while it goes on as an experiment file says.

    Raises:
        BusyError, UsageError, ConfigError, StorageError: As `reopened`, and where a plugin of the
            file is not what the run was trained with.
    """
    with hold(run):
        _demand_plugins(run, asked)
        yield _judged(run, read_unimported(run), asked, allow_inexact=allow_inexact)


def _judged(
    run: Path, trained: Experiment, asked: Experiment, *, allow_inexact: bool
) -> ResumeRequest:
    facts = record.load(run)
    found = changes.compare(trained, asked, facts["references"])
    files = input_files(asked)
    check_present(files, facts["files"])
    here = {**run_environment.describe_environment(), "files": fingerprints(files)}
    around = changes.compare_environment(facts, here)
    changes.refuse_incompatible([*found, *around], allow_inexact=allow_inexact)
    notes = tuple(changes.change_notes([*found, *around]))
    return ResumeRequest(run, trained, asked, facts, tuple(found), allow_inexact, notes=notes)


def _demand_plugins(run: Path, asked: Experiment) -> None:
    """Refuse plugins that are not what a run was trained with."""
    other = changed_plugin(record.load(run)["plugins"], asked)
    if other is not None:
        raise UsageError(
            f"plugins: {other} is not what {run} was trained with, so the run cannot go on "
            "exactly. Restore the file, or train a new run."
        )


def select_run(
    experiment: Experiment, wish: str | None, out: Path, *, allow_inexact: bool, alone: bool = True
) -> tuple[Path | None, tuple[str, ...]]:
    """Return the run that `--resume` means, None for a new one, and what there is to say of it.

    Args:
        experiment: What is to be trained.
        wish: `auto`, a run, or None for a new one.
        out: The folder of all runs.
        allow_inexact: Whether a run will do that does not end as it would have ended.
        alone: Whether nobody else may be training it, as other workers of one cluster are.

    Raises:
        UsageError: There is no such run.
        BusyError: It is being trained now.
    """
    if wish is None:
        return None, ()
    if wish != "auto":
        return folder.find_run(wish, out), ()
    choice = newest_resumable(experiment, out, allow_inexact=allow_inexact, alone=alone)
    return choice.run, choice.notes


def finished_result(run: Path, asked: Experiment | None = None) -> Result | None:
    """Return what came out of a run; None if it is not finished, or more is asked of it.

    Args:
        run: Its folder.
        asked: The experiment as it is to go on; None for as it is.

    Raises:
        StorageError: run.json or summary.json is missing or damaged.
    """
    facts = record.load(run)
    if facts["status"] != "finished":
        return None
    trained = read_unimported(run)
    if asked is not None and changes.compare(trained, asked, facts["references"]):
        return None
    found = summary_file.read(run)
    values = {name: number(value) for name, value in found.pop("metrics").items()}
    if found["expect"] != json_ready(judge(trained.expect, values)):
        text = f"expect: expected what {EXPERIMENT} asks for, judged by these metrics"
        raise StorageError(f"{run / summary_file.NAME} is damaged: {text}")
    split = next((s for s in ("test", "validation", "train") if s in facts["data"]), None)
    return Result(relative_to_cwd(run), split, values, found)
