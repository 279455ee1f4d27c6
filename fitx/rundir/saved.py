"""The experiment that a run folder keeps, read back the way it was trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fitx.errors import StorageError, UsageError
from fitx.experiment import plugins
from fitx.experiment.check import check, read
from fitx.experiment.experiment import Experiment
from fitx.experiment.load import Document, load
from fitx.rundir import folder, record

EXPERIMENT = "experiment.yaml"


def read_target(target: str, words: Sequence[str], out: Path) -> tuple[Experiment, Path | None]:
    """Read what a command was pointed at: a run (then its folder comes too), or a file.

    Raises:
        ConfigError: Neither a run nor an experiment, or the experiment has problems.
        StorageError: The run's record is damaged, or its plugins are not what was trained.
    """
    if Path(target).is_file():
        return read(target, words), None
    try:
        run = folder.find(target, out)
    except UsageError:
        return read(target, words), None
    return read_run(run, words), run


def read_run(run: Path, words: Sequence[str] = ()) -> Experiment:
    """Read a run's experiment; its plugins are imported only if they are what was trained."""
    if not (run / EXPERIMENT).is_file():
        raise StorageError(f"{run / EXPERIMENT} is missing; the run cannot be rebuilt.")
    document = load(str(run / EXPERIMENT), words)
    _verify_plugins(run, document)
    return check(document)


def _verify_plugins(run: Path, document: Document) -> None:
    """Refuse code that differs from what was trained: a run folder is data."""
    trained = record.load(run).get("plugins", {})
    node = document.tree.at(("plugins",))
    for entry in node.value if node is not None and isinstance(node.value, list) else ():
        path = run / str(entry.value)
        if entry.value not in trained or not path.is_file():
            raise StorageError(f"{path}: the run was not trained with this plugin; not imported.")
        if plugins.sha256(path) != trained[str(entry.value)]:
            text = "has changed since the run was trained; not imported. Restore the file."
            raise StorageError(f"{path} {text}")
