"""Where callbacks of Keras write: below the folder of their run, and over none of its files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry import keras_parts
from fitx.registry.kinds import Part

WRITTEN: dict[str, dict[str, str]] = {
    "CSVLogger": {"filename": ""},
    "TensorBoard": {"log_dir": "logs"},
}
"""The options of Keras' callbacks that name a file or a folder to write, with Keras' defaults."""

OWN_FILES = (
    *("run.json", "experiment.yaml", "metrics.jsonl", "summary.json", "run.lock"),
    *("source", "checkpoints", "networks"),
)
"""What fitx writes into the folder of a run and reads again; `samples` is for callbacks."""


def problems(callbacks: Sequence[Part]) -> Iterator[tuple[KeyPath, str]]:
    """Find callbacks of Keras that would write over a run's own files, leave its folder unseen, or
    write one file twice.
    """
    written: dict[str, KeyPath] = {}
    for index, part in enumerate(callbacks):
        for name in _written(part):
            key = ("callbacks", index, name)
            value = str(part.options.get(name, _written(part)[name]))
            text = _refused(value, is_file=name == "filename")
            same = written.setdefault(os.path.normpath(value), key)
            if text:
                yield key, text
            elif same != key:
                yield key, f"callbacks.{same[1]}.{same[2]} writes there too; choose another."


def _refused(value: str, *, is_file: bool) -> str:
    path = Path(os.path.expanduser(value))
    if is_file and (value.endswith("/") or path.name in ("", "..")):
        return f"'{value}' is a folder; name the file to write."
    if path.is_absolute():
        return ""
    if ".." in path.parts:
        return f"'{value}' leads out of the run's folder; write an absolute path to do so."
    first = path.parts[0] if path.parts else ""
    # On some file systems names are the same in any case.
    is_own = first.lower() in OWN_FILES or first.startswith(".tmp-")
    return f"'{first}' is the run's own; choose another name." if is_own else ""


def make_folders(part: Part) -> None:
    """Make the folders of the files that a callback writes. Raises OSError."""
    for name in _written(part):
        if name == "filename":
            Path(part.options[name]).parent.mkdir(parents=True, exist_ok=True)


def written_below(part: Part, folder: Path) -> Part:
    """Return a callback whose relative paths start at a folder."""
    paths = {name: str(path) for name, path in _paths(part, folder).items()}
    return replace(part, options={**part.options, **paths})


def refuse_elsewhere(experiment: Experiment, run: Path) -> None:
    """Raise UsageError if a callback would write outside of a run: a run folder is data.

    What stands in the experiment file that a user names may write where it likes.
    """
    for key, path in _keys(experiment, run):
        if not path.resolve().is_relative_to(run.resolve()):
            raise UsageError(
                f"{key}: {path} lies outside of the run; a run that is resumed writes into its own "
                f"folder only. `fitx train FILE --resume {run}` goes on with your own file."
            )


def _keys(experiment: Experiment, run: Path) -> Iterator[tuple[str, Path]]:
    for index, part in enumerate(experiment.callbacks):
        for name, path in _paths(part, run).items():
            yield f"callbacks.{index}.{name}", path


def _paths(part: Part, folder: Path) -> dict[str, Path]:
    """Return what a callback of Keras writes to, by the option that says so."""
    options = {name: part.options.get(name, path) for name, path in _written(part).items()}
    return {name: folder / os.path.expanduser(path) for name, path in options.items()}


def _written(part: Part) -> dict[str, str]:
    return WRITTEN.get(keras_parts.class_name(part.kind, part.name) or "", {})
