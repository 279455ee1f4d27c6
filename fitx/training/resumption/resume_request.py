"""The request to resume a run: opened, compared and checked before TensorFlow is imported."""

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
from fitx.rundir.file_schemas import parse_logged_value
from fitx.rundir.fingerprint import check_present, fingerprints
from fitx.rundir.lock import hold
from fitx.rundir.saved_experiment import EXPERIMENT, read_unimported
from fitx.training.result import Result, judge_expectations, relative_to_cwd
from fitx.training.resumption import changes
from fitx.training.resumption.auto_resume import changed_plugin, newest_resumable
from fitx.training.resumption.changes import Change


@dataclass(frozen=True)
class ResumeRequest:
    """The user's request to resume a run, whose lock is held.

    Args:
        run: The run folder.
        trained: The experiment that the run was trained with so far.
        experiment: The experiment to continue with, changes included.
        record: The content of run.json.
        changes: The differences between the two experiments.
        allow_inexact: Whether changes are allowed that make the result inexact.
        stop_after: Training step after which to stop as if by SIGTERM; None for the end.
        notes: Lines to show first.
    """

    run: Path
    trained: Experiment
    experiment: Experiment
    record: dict[str, Any]
    changes: tuple[Change, ...] = ()
    allow_inexact: bool = False
    stop_after: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def modes(self) -> dict[str, str] | None:
        """The recorded modes of training ("train") and evaluation ("test"); None to choose anew."""
        if self.changes_below("execution.mode"):
            return None
        return {"train": self.record["mode"], "test": self.record["evaluation_mode"]}

    def changes_below(self, key: str) -> bool:
        """Return whether a key, or one below it, has changed."""
        return any(change.key == key or change.key.startswith(f"{key}.") for change in self.changes)

    def on_threads(self, available: int) -> Experiment:
        """Return the experiment with the number of threads that the run was trained on."""
        recorded, execution = self.record["threads"], self.experiment.execution
        if execution.threads is not None or recorded == available:
            return self.experiment
        execution = execution.model_copy(update={"threads": recorded})
        return replace(self.experiment, execution=execution)

    @property
    def rewritten(self) -> str | None:
        """The new content of experiment.yaml; None if nothing has changed."""
        if not self.changes:
            return None
        return dump(self.experiment, plugins=list(self.record["plugins"]))


@contextmanager
def open_for_resume(
    run: Path, overrides: Sequence[str], *, allow_inexact: bool
) -> Iterator[ResumeRequest]:
    """Lock a run for a resume with overrides from the command line.

    Raises:
        BusyError: Another process holds the lock.
        UsageError: The changes are not allowed, or the run would write outside its folder.
        ConfigError, StorageError: The run cannot be read.
    """
    with hold(run):
        experiment = read_unimported(run, overrides)
        trained = read_unimported(run) if overrides else experiment
        refuse_elsewhere(experiment, run)
        yield _checked(run, trained, experiment, allow_inexact=allow_inexact)


@contextmanager
def open_for_resume_from_file(
    run: Path, experiment: Experiment, *, allow_inexact: bool
) -> Iterator[ResumeRequest]:
    """Lock a run for a resume with the experiment of a file.

    Raises:
        BusyError, UsageError, ConfigError, StorageError: As `open_for_resume`, and where a plugin
            of the file differs from the one that the run was trained with.
    """
    with hold(run):
        _refuse_changed_plugin(run, experiment)
        yield _checked(run, read_unimported(run), experiment, allow_inexact=allow_inexact)


def _checked(
    run: Path, trained: Experiment, experiment: Experiment, *, allow_inexact: bool
) -> ResumeRequest:
    """Return the request; raise UsageError if something changed and may not."""
    recorded = record.load(run)
    experiment_changes = changes.compare_experiments(trained, experiment, recorded["references"])
    files = input_files(experiment)
    check_present(files, recorded["files"])
    now = {**run_environment.describe_environment(), "files": fingerprints(files)}
    all_changes = [*experiment_changes, *changes.compare_environment(recorded, now)]
    changes.refuse_incompatible(all_changes, allow_inexact=allow_inexact)
    return ResumeRequest(
        run,
        trained,
        experiment,
        recorded,
        tuple(experiment_changes),
        allow_inexact,
        notes=tuple(changes.change_notes(all_changes)),
    )


def _refuse_changed_plugin(run: Path, experiment: Experiment) -> None:
    name = changed_plugin(record.load(run)["plugins"], experiment)
    if name is not None:
        raise UsageError(
            f"plugins: {name} differs from the file that {run} was trained with, so the run "
            "cannot be resumed exactly. Restore the file, or train a new run."
        )


def select_run(
    experiment: Experiment,
    selector: str | None,
    out: Path,
    *,
    allow_inexact: bool,
    is_chief: bool = True,
) -> tuple[Path | None, tuple[str, ...]]:
    """Return the run that `--resume` selects, None for a new one, and notes on skipped runs.

    Args:
        experiment: The experiment to train.
        selector: `auto`, a run, or None for a new run.
        out: The folder of all runs.
        allow_inexact: Whether changes are allowed that make the result inexact.
        is_chief: False for a worker of a cluster whose chief may hold the run already.

    Raises:
        UsageError: There is no such run.
        BusyError: The run is being trained now.
    """
    if selector is None:
        return None, ()
    if selector != "auto":
        return folder.find_run(selector, out), ()
    choice = newest_resumable(experiment, out, allow_inexact=allow_inexact, is_chief=is_chief)
    return choice.run, choice.notes


def finished_result(run: Path, experiment: Experiment | None = None) -> Result | None:
    """Return the result of a finished run; None if there is more to train.

    Args:
        run: The run folder.
        experiment: The experiment to continue with; None for that of the run.

    Raises:
        StorageError: run.json or summary.json is missing or damaged.
    """
    recorded = record.load(run)
    if recorded["status"] != "finished":
        return None
    trained = read_unimported(run)
    if experiment is not None and changes.compare_experiments(
        trained, experiment, recorded["references"]
    ):
        return None
    summary = summary_file.read(run)
    values = {name: parse_logged_value(value) for name, value in summary.pop("metrics").items()}
    if summary["expect"] != json_ready(judge_expectations(trained.expect, values)):
        text = f"expect: expected the expectations of {EXPERIMENT}, judged by these metrics"
        raise StorageError(f"{run / summary_file.NAME} is damaged: {text}")
    split = next((s for s in ("test", "validation", "train") if s in recorded["data"]), None)
    return Result(relative_to_cwd(run), split, values, summary)
