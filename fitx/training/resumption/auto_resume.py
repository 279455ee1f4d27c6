"""Which run `--resume auto` goes on with: the newest unfinished one of the same experiment."""

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
from fitx.rundir.status import Unfinished, unfinished
from fitx.training.result import relative_to_cwd
from fitx.training.resumption.changes import Change, compare, compare_environment

MOST_NOTES = 5


@dataclass(frozen=True)
class Choice:
    """What `choose` found.

    Attributes:
        run: The run to go on with; None if a new one is to begin.
        notes: Why unfinished runs were passed over, a line each.
    """

    run: Path | None
    notes: tuple[str, ...] = ()


def newest_resumable(
    experiment: Experiment, out: Path, *, allow_inexact: bool = False, alone: bool = True
) -> Choice:
    """Find the newest unfinished run that is this experiment, but for harmless changes.

    Nothing of a run is imported; its plugins must be those of the experiment.

    Args:
        experiment: What is to be trained.
        out: The folder of all runs.
        allow_inexact: Whether a run will do that does not end as it would have ended.
        alone: Whether nobody else may be training it, as other workers of one cluster are.

    Raises:
        BusyError: That run is being trained now.
        StorageError: The folder of these runs cannot be read.
    """
    notes: list[str] = []
    for found in unfinished(out, experiment.name):
        if found.damage:
            notes.append(_passed_over(found, found.damage))
            continue
        try:
            changes = _changes(found.run, experiment)
        except _Other as error:
            notes.append(_passed_over(found, str(error)))
            continue
        hindering = [c for c in changes if not _is_fine(c, allow_inexact=allow_inexact)]
        if not hindering:
            if found.status == "running" and alone:
                raise lock.busy(found.run)
            return Choice(found.run, _cut(notes))
        more = f" and {len(hindering) - 1} more" if len(hindering) > 1 else ""
        notes.append(_passed_over(found, f"{hindering[0]}{more}"))
    return Choice(None, _cut(notes))


class _Other(ValueError):
    """Why a run is no run of this experiment."""


def _changes(run: Path, experiment: Experiment) -> list[Change]:
    try:
        facts = record.load(run)
        if facts["smoke"]:
            raise _Other("it only tries the experiment, as --smoke asked")
        other = changed_plugin(facts["plugins"], experiment)
        if other is not None:
            raise _Other(f"the plugin {other} is not what it was")
        files = {"files": fingerprints(input_files(experiment))}
        found = compare(read_unimported(run), experiment, facts["references"])
        return [*found, *compare_environment(facts, files)]
    except FitxError as error:
        raise _Other(str(error).partition("\n")[0]) from error


def changed_plugin(trained: Mapping[str, str], experiment: Experiment) -> str | None:
    """Return the name of a plugin that is not what a run was trained with; None if all are.

    Args:
        trained: What run.json says of the run's plugins.
        experiment: What is to be trained.
    """
    before = {Path(name).name: sha256 for name, sha256 in trained.items()}
    now = {path.name: plugins.sha256(path) for path in experiment.plugins}
    return next((name for name in {**before, **now} if before.get(name) != now.get(name)), None)


def _is_fine(change: Change, *, allow_inexact: bool) -> bool:
    if change.verdict == "harmless":
        # Whether the numbers are the same elsewhere shows only when they are loaded.
        return allow_inexact or not change.key.startswith("data.")
    return allow_inexact and change.verdict == "inexact"


def _passed_over(found: Unfinished, reason: str) -> str:
    return f"passed over {relative_to_cwd(found.run)} ({found.status}): {reason}"


def _cut(notes: list[str]) -> tuple[str, ...]:
    """Return the notes on the newest runs, and how many there are on others."""
    if len(notes) <= MOST_NOTES:
        return tuple(notes)
    return (*notes[: MOST_NOTES - 1], f"passed over {len(notes) - MOST_NOTES + 1} more")
