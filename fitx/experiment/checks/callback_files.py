"""The files that callbacks of Keras write: in the folder of the run, but not its own files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.experiment.problems import Findings
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry import keras_parts
from fitx.registry.kinds import Part

OUTPUT_OPTIONS: dict[str, dict[str, str]] = {
    "CSVLogger": {"filename": ""},
    "TensorBoard": {"log_dir": "logs"},
}
"""Options of Keras' callbacks that name a file or folder to write, with their defaults."""

OWN_FILES = (
    *("run.json", "experiment.yaml", "metrics.jsonl", "summary.json", "run.lock"),
    *("source", "checkpoints", "networks"),
)
"""Files and folders of a run that fitx itself writes; `samples` is for callbacks."""


def find_file_conflicts(callbacks: Sequence[Part]) -> Findings:
    """Yield paths that overwrite files of the run, leave its folder, or are used twice."""
    first_uses: dict[str, KeyPath] = {}
    for index, part in enumerate(callbacks):
        for name in _output_paths(part):
            key = ("callbacks", index, name)
            value = str(part.options.get(name, _output_paths(part)[name]))
            text = _refused(value, is_file=name == "filename")
            first = first_uses.setdefault(os.path.normpath(value), key)
            if text:
                yield key, text
            elif first != key:
                yield (
                    key,
                    f"callbacks.{first[1]}.{first[2]} writes to the same path; choose another.",
                )


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
    """Create the folders of the files that a callback writes. Raises OSError."""
    for name in _output_paths(part):
        if name == "filename":
            Path(part.options[name]).parent.mkdir(parents=True, exist_ok=True)


def written_below(part: Part, folder: Path) -> Part:
    """Return a callback with its relative paths resolved against a folder."""
    paths = {name: str(path) for name, path in _paths(part, folder).items()}
    return replace(part, options={**part.options, **paths})


def refuse_elsewhere(experiment: Experiment, run: Path) -> None:
    """Raise UsageError if a callback of a saved experiment would write outside of its run.

    A run folder may come from others; the experiment file that a user names may write anywhere.
    """
    for key, path in _keys(experiment, run):
        if not path.resolve().is_relative_to(run.resolve()):
            raise UsageError(
                f"{key}: {path} lies outside of the run; a resumed run writes to its folder only. "
                f"To use the experiment file instead: `fitx train FILE --resume {run}`."
            )


def _keys(experiment: Experiment, run: Path) -> Iterator[tuple[str, Path]]:
    for index, part in enumerate(experiment.callbacks):
        for name, path in _paths(part, run).items():
            yield f"callbacks.{index}.{name}", path


def _paths(part: Part, folder: Path) -> dict[str, Path]:
    """Return the absolute paths that a callback writes to, by option."""
    options = {name: part.options.get(name, path) for name, path in _output_paths(part).items()}
    return {name: folder / os.path.expanduser(path) for name, path in options.items()}


def _output_paths(part: Part) -> dict[str, str]:
    return OUTPUT_OPTIONS.get(keras_parts.class_name(part.kind, part.name) or "", {})
