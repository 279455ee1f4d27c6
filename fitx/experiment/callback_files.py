"""Where callbacks of Keras write: below the folder of their run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.registry import keras_parts
from fitx.registry.kinds import Part

WRITTEN: dict[str, dict[str, str]] = {
    "CSVLogger": {"filename": ""},
    "TensorBoard": {"log_dir": "logs"},
}
"""The options of Keras' callbacks that name a file or a folder to write, with Keras' defaults."""


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
    defaults = WRITTEN.get(keras_parts.class_name(part.kind, part.name) or "", {})
    return {name: folder / part.options.get(name, path) for name, path in defaults.items()}
