"""The experiment that a run folder keeps, read back the way it was trained."""

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
from fitx.rundir import folder, record
from fitx.rundir.files import write_atomically
from fitx.rundir.record import Record

EXPERIMENT = "experiment.yaml"

_PENDING = "pending_experiment"
"""What run.json calls the text that experiment.yaml is about to hold."""

_MANY = {"model": "networks", "optimizer": "optimizers"}
_ONE = re.compile(r"^(~?)(model|optimizer)(?=[.=+]|$)")


@dataclass(frozen=True)
class Target:
    """What a command was pointed at.

    Args:
        experiment: The experiment, of a run as it was trained.
        run: The run's folder; None for an experiment file.
        note: What the user may not expect about the choice; or nothing.
    """

    experiment: Experiment
    run: Path | None
    note: str = ""


def commit(kept: Record, text: str | None, **facts: Any) -> None:
    """Let a run be another experiment from now on, and its record say so: both, or neither.

    The text goes into the record first, in one file with the facts, and from there into
    experiment.yaml. A process that is killed in between leaves that to the next one that reads
    the run.

    Args:
        kept: The record of the run, whose lock is held.
        text: What experiment.yaml is to say; None for what it says.
        facts: As for `Record.update`.

    Raises:
        StorageError: A file cannot be written.
    """
    kept.update(**facts, **({} if text is None else {_PENDING: text}))
    pending = kept.facts.get(_PENDING)
    if pending is not None:
        write_atomically(kept.run / EXPERIMENT, pending)
        del kept.facts[_PENDING]
        kept.update()


def read_target(target: str, words: Sequence[str], out: Path, *, own_step: bool = True) -> Target:
    """Read what a command was pointed at: a run, or else an experiment; import no plugin.

    With `own_step` false another step measures, as for `fitx.experiment.check.check`.

    Raises:
        UsageError: There is neither a run nor an experiment of that name.
        ConfigError: The experiment has problems.
        StorageError: The run's record is damaged, or its plugins are not what was trained.
    """
    if Path(target).is_file():
        return Target(_untrained(target, words, own_step=own_step), None)
    try:
        run = folder.find(target, out)
    except UsageError as error:
        try:
            locate(target)
        except ConfigError as other:
            raise UsageError(f"{error}\nNor is there an experiment: {other}") from error
        return Target(_untrained(target, words, own_step=own_step), None)
    note = ""
    if target in shipped():
        note = f"'{target}' is a run and an experiment too; measured is the run. "
        note += f"Untrained: {locate(target)}"
    return Target(read_unimported(run, words, own_step=own_step), run, note)


def _untrained(target: str, words: Sequence[str], *, own_step: bool) -> Experiment:
    return check_unimported(load(target, words), own_step=own_step)


def read_unimported(run: Path, words: Sequence[str] = (), *, own_step: bool = True) -> Experiment:
    """Read a run's experiment; import none of its plugins, which must be what was trained.

    Raises:
        ConfigError: The experiment has problems.
        StorageError: Something in it is damaged, lies elsewhere, or is not what was trained.
    """
    experiment = check_unimported(_verified(run, words), own_step=own_step)
    return replace(experiment, is_smoke=record.load(run)["smoke"])


def refuse_links(run: Path) -> None:
    """Refuse a folder in which something leads elsewhere, or would be waited for.

    What is written into a run must not end up in another place, and a copied folder could bring
    a link to any.

    Raises:
        StorageError: Names a link that leads out of the run, or a pipe or device in it.
    """
    root = run.resolve()
    for within, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(within, name)
            shown = run / path.relative_to(root)
            if path.is_symlink() and not _target(path).is_relative_to(root):
                raise StorageError(f"{shown} is a link out of the run, which holds its own files.")
            if not (path.is_symlink() or path.is_dir() or path.is_file()) and os.path.lexists(path):
                raise StorageError(f"{shown} is neither a file nor a folder; remove it.")


def _target(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError):
        # A link in a circle leads nowhere.
        return Path("/")


def _verified(run: Path, words: Sequence[str]) -> Document:
    """Load what is safe to be checked."""
    refuse_links(run)
    if not (run / EXPERIMENT).is_file():
        raise StorageError(f"{run / EXPERIMENT} is missing; the run cannot be rebuilt.")
    facts = record.load(run)
    document = saved = _load(run, facts)
    if words:
        document = _load(run, facts, _as_saved(words, saved))
    _verify_plugins(run, document)
    _demand_same_plugins(run, facts, saved)
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


def _demand_same_plugins(run: Path, facts: dict[str, Any], saved: Document) -> None:
    """Refuse a record of other plugins than experiment.yaml has, which would go there later."""
    node = saved.tree.at(("plugins",))
    entries = node.value if node is not None and isinstance(node.value, list) else []
    if {str(entry.value) for entry in entries} != set(facts["plugins"]):
        text = f"plugins: expected those of {EXPERIMENT}"
        raise StorageError(f"{run / folder.RECORD} is damaged: {text}")


def _as_saved(words: Sequence[str], document: Document) -> list[str]:
    """Return words that say `model` or `optimizer`, as people write, by what a run calls it."""
    node = document.tree.at(("networks",))
    names = list(node.value) if node is not None and isinstance(node.value, dict) else []
    if len(names) != 1:
        return list(words)
    return [_ONE.sub(lambda m: f"{m[1]}{_MANY[m[2]]}.{names[0]}", word) for word in words]


def _verify_plugins(run: Path, document: Document) -> None:
    """Refuse code that differs from what was trained, or lies elsewhere: a run folder is data."""
    hashes = record.load(run)["plugins"]
    node = document.tree.at(("plugins",))
    for entry in node.value if node is not None and isinstance(node.value, list) else ():
        # Where it would be imported from; a word of the command line starts elsewhere.
        path = entry.place.source.file(str(entry.value))
        name = _name_in(run, path)
        shown = run / name if name is not None else path
        if name not in hashes or not path.is_file():
            raise StorageError(f"{shown}: the run was not trained with this plugin; not imported.")
        if plugins.sha256(path) != hashes[name]:
            text = "has changed since the run was trained; not imported. Restore the file."
            raise StorageError(f"{shown} {text}")


def _name_in(run: Path, path: Path) -> str | None:
    """Return what run.json calls a file of the run; None for a file that lies elsewhere."""
    inside = path.resolve().is_relative_to(run.resolve())
    return path.resolve().relative_to(run.resolve()).as_posix() if inside else None
