"""Reads the experiment of a run folder as it was trained."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fitx.errors import StorageError, UsageError
from fitx.experiment import plugins
from fitx.experiment.check import check_unimported
from fitx.experiment.experiment import Experiment
from fitx.experiment.problems import ConfigError
from fitx.experiment.yaml.load import Document, load
from fitx.experiment.yaml.locate import locate, shipped
from fitx.registry import python_source
from fitx.rundir import folder, record
from fitx.rundir.files import write_atomically
from fitx.rundir.record import Record
from fitx.rundir.source_runs import with_source_runs

EXPERIMENT = "experiment.yaml"

_PENDING = "pending_experiment"
"""The field of run.json with the text that is about to be written to experiment.yaml."""

_MANY = {"model": "networks", "optimizer": "optimizers"}
_ONE = re.compile(r"^(~?)(model|optimizer)(?=[.=+]|$)")


@dataclass(frozen=True)
class EvaluationTarget:
    """The run or the experiment file that a command was given.

    Args:
        experiment: The experiment; that of a run as it was trained.
        run: The run's folder; None for an experiment file.
        note: A note on a choice that the user may not expect; or empty.
    """

    experiment: Experiment
    run: Path | None
    note: str = ""


def commit(run_record: Record, text: str | None, **facts: Any) -> None:
    """Change the experiment of a run and its record in one transaction.

    The text is written to run.json first, together with the other fields, and from there to
    experiment.yaml. If the process is killed in between, the next one that opens the run
    completes the change.

    Args:
        run_record: The record of the run, whose lock is held.
        text: The new text of experiment.yaml; None keeps it.
        facts: As for `Record.update`.

    Raises:
        StorageError: A file cannot be written.
    """
    run_record.update(**facts, **({} if text is None else {_PENDING: text}))
    pending = run_record.facts.get(_PENDING)
    if pending is not None:
        write_atomically(run_record.run / EXPERIMENT, pending)
        del run_record.facts[_PENDING]
        run_record.update()


def read_target(
    target: str, words: Sequence[str], out: Path, *, own_step: bool = True
) -> EvaluationTarget:
    """Read a run, or else an experiment file, by the word that a command was given.

    Imports no plugin. With `own_step` false another step is used, as for
    `fitx.experiment.check.check`.

    Raises:
        UsageError: There is neither a run nor an experiment of that name.
        ConfigError: The experiment has problems.
        StorageError: The run's record is damaged, or its plugins have changed since it was trained.
    """
    if Path(target).is_file():
        return EvaluationTarget(_untrained(target, words, out, own_step=own_step), None)
    try:
        run = folder.find_run(target, out)
    except UsageError as error:
        try:
            locate(target)
        except ConfigError as other:
            raise UsageError(f"{error}\nNor is there an experiment: {other}") from error
        return EvaluationTarget(_untrained(target, words, out, own_step=own_step), None)
    note = ""
    if target in shipped():
        note = f"'{target}' is a run and an experiment too; the run is evaluated. "
        note += f"The experiment file is {locate(target)}"
    return EvaluationTarget(read_unimported(run, words, own_step=own_step), run, note)


def _untrained(target: str, words: Sequence[str], out: Path, *, own_step: bool) -> Experiment:
    return with_source_runs(check_unimported(load(target, words), own_step=own_step), out)


def read_unimported(run: Path, words: Sequence[str] = (), *, own_step: bool = True) -> Experiment:
    """Read a run's experiment without importing its plugins, which must be unchanged.

    Raises:
        ConfigError: The experiment has problems.
        StorageError: A file is damaged, outside of the run, or changed since it was trained.
    """
    experiment = check_unimported(_verified(run, words), own_step=own_step)
    return replace(experiment, is_smoke=record.load(run)["smoke"])


def refuse_links(run: Path) -> None:
    """Refuse a run folder with links that leave it, or with pipes or devices.

    Files written into a run must stay inside it, and a copied folder could contain a link to any
    place.

    Raises:
        StorageError: There is such a link, pipe or device; with its name.
    """
    root = run.resolve()
    for within, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(within, name)
            shown = run / path.relative_to(root)
            if path.is_symlink() and not _target(path).is_relative_to(root):
                raise StorageError(f"{shown} is a link to a place outside of the run; remove it.")
            if not (path.is_symlink() or path.is_dir() or path.is_file()) and os.path.lexists(path):
                raise StorageError(f"{shown} is neither a file nor a folder; remove it.")


def _target(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError):
        # A circular link has no target.
        return Path("/")


def _verified(run: Path, words: Sequence[str]) -> Document:
    """Load a run's experiment once its files are known to be safe to read."""
    refuse_links(run)
    if not (run / EXPERIMENT).is_file():
        raise StorageError(f"{run / EXPERIMENT} is missing; the run cannot be rebuilt.")
    facts = record.load(run)
    document = saved = _load(run, facts)
    if words:
        document = _load(run, facts, _as_saved(words, saved))
    _verify_plugins(run, document)
    _check_plugin_names(run, facts, saved)
    return document


def _load(run: Path, facts: dict[str, Any], words: Sequence[str] = ()) -> Document:
    pending = facts.get(_PENDING)
    try:
        return load(str(run / EXPERIMENT), words, alone=True, text=pending)
    except ConfigError as error:
        if pending is None or words:
            raise
        text = f"{run / folder.RECORD} is damaged: {_PENDING}: {error.problems[0].text}"
        raise StorageError(text) from error


def _check_plugin_names(run: Path, facts: dict[str, Any], saved: Document) -> None:
    """Refuse a run.json with other plugins than experiment.yaml."""
    node = saved.tree.at(("plugins",))
    entries = node.value if node is not None and isinstance(node.value, list) else []
    if {str(entry.value) for entry in entries} != set(facts["plugins"]):
        text = f"plugins: expected those of {EXPERIMENT}"
        raise StorageError(f"{run / folder.RECORD} is damaged: {text}")


def _as_saved(words: Sequence[str], document: Document) -> list[str]:
    """Return overrides with `model` and `optimizer` replaced by the full keys of a saved file."""
    node = document.tree.at(("networks",))
    names = list(node.value) if node is not None and isinstance(node.value, dict) else []
    if len(names) != 1:
        return list(words)
    return [_ONE.sub(lambda m: f"{m[1]}{_MANY[m[2]]}.{names[0]}", word) for word in words]


def _verify_plugins(run: Path, document: Document) -> None:
    """Refuse a plugin that has changed since training or lies outside of the run."""
    hashes = record.load(run)["plugins"]
    node = document.tree.at(("plugins",))
    for entry in node.value if node is not None and isinstance(node.value, list) else ():
        # The place it would be imported from; an override's paths start in the working folder.
        path = entry.place.source.file(str(entry.value))
        _verify_plugin(run, path, hashes)
        for neighbour in python_source.imported_neighbours(path):
            _verify_plugin(run, neighbour, hashes)


def _verify_plugin(run: Path, path: Path, hashes: dict[str, str]) -> None:
    name = _name_in(run, path)
    shown = run / name if name is not None else path
    if name not in hashes or not path.is_file():
        raise StorageError(f"{shown}: the run was not trained with this plugin; not imported.")
    if plugins.sha256(path) != hashes[name]:
        text = "has changed since the run was trained; not imported. Restore the file."
        raise StorageError(f"{shown} {text}")


def _name_in(run: Path, path: Path) -> str | None:
    """Return a file's name in run.json; None for a file outside of the run."""
    inside = path.resolve().is_relative_to(run.resolve())
    return path.resolve().relative_to(run.resolve()).as_posix() if inside else None
