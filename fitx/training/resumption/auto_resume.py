"""Selects the run for `--resume auto`: the newest unfinished one of the same experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fitx.errors import FitxError
from fitx.experiment import plugins
from fitx.experiment.checks.paths import input_files
from fitx.experiment.experiment import Experiment
from fitx.rundir import lock, record
from fitx.rundir.fingerprint import fingerprints
from fitx.rundir.saved_experiment import read_unimported
from fitx.rundir.status import unfinished
from fitx.training.result import relative_to_cwd
from fitx.training.resumption.changes import Change, compare_environment, compare_experiments

MOST_NOTES = 5
"""The most notes on skipped runs."""


@dataclass(frozen=True)
class Choice:
    """The selected run.

    Attributes:
        run: The run to resume; None to begin a new one.
        notes: A line for each unfinished run that was skipped, with the reason.
    """

    run: Path | None
    notes: tuple[str, ...] = ()


def newest_resumable(
    experiment: Experiment, out: Path, *, allow_inexact: bool = False, is_chief: bool = True
) -> Choice:
    """Find the newest unfinished run of this experiment; harmless changes are allowed.

    Nothing of a run is imported; its plugins must be those of the experiment.

    Args:
        experiment: The experiment to train.
        out: The folder of all runs.
        allow_inexact: Whether changes are allowed that make the result inexact.
        is_chief: False for a worker of a cluster whose chief may hold the run already.

    Raises:
        BusyError: The run is being trained now.
        StorageError: The folder of these runs cannot be read.
    """
    notes: list[str] = []
    for candidate in unfinished(out, experiment.name):
        reason = candidate.damage or _difference(
            candidate.run, experiment, allow_inexact=allow_inexact
        )
        if not reason:
            if candidate.status == "running" and is_chief:
                raise lock.busy(candidate.run)
            return Choice(candidate.run, _limited(notes))
        run = relative_to_cwd(candidate.run)
        notes.append(f"skipped {run} ({candidate.status}): {reason}")
    return Choice(None, _limited(notes))


def _difference(run: Path, experiment: Experiment, *, allow_inexact: bool) -> str:
    """Return why a run cannot be resumed with an experiment; empty if it can."""
    try:
        changes = _changes(run, experiment)
    except _NotThisExperiment as error:
        return str(error)
    refused = [c for c in changes if not _is_allowed(c, allow_inexact=allow_inexact)]
    more = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
    return f"{refused[0]}{more}" if refused else ""


class _NotThisExperiment(ValueError):
    """A run is not one of the experiment, or cannot be read."""


def _changes(run: Path, experiment: Experiment) -> list[Change]:
    try:
        recorded = record.load(run)
        if recorded["smoke"]:
            raise _NotThisExperiment("it was trained with --smoke")
        plugin = changed_plugin(recorded["plugins"], experiment)
        if plugin is not None:
            raise _NotThisExperiment(f"the plugin {plugin} has changed")
        files = {"files": fingerprints(input_files(experiment))}
        trained = read_unimported(run)
        return [
            *compare_experiments(trained, experiment, recorded["references"]),
            *compare_environment(recorded, files),
        ]
    except FitxError as error:
        raise _NotThisExperiment(str(error).partition("\n")[0]) from error


def changed_plugin(trained: Mapping[str, str], experiment: Experiment) -> str | None:
    """Return the name of a plugin that has changed since a run was trained; None if none has.

    Args:
        trained: The plugins in run.json with their hashes.
        experiment: The experiment to train.
    """
    before = {Path(name).name: sha256 for name, sha256 in trained.items()}
    current_hashes = {path.name: plugins.sha256(path) for path in experiment.plugins}
    return next(
        (
            name
            for name in {**before, **current_hashes}
            if before.get(name) != current_hashes.get(name)
        ),
        None,
    )


def _is_allowed(change: Change, *, allow_inexact: bool) -> bool:
    if change.verdict == "harmless":
        # Data at another path may hold other numbers, which shows only once it is loaded.
        return allow_inexact or not change.key.startswith("data.")
    return allow_inexact and change.verdict == "inexact"


def _limited(notes: list[str]) -> tuple[str, ...]:
    """Return the notes on the newest runs, and one with the number of the others."""
    if len(notes) <= MOST_NOTES:
        return tuple(notes)
    return (*notes[: MOST_NOTES - 1], f"skipped {len(notes) - MOST_NOTES + 1} more")
