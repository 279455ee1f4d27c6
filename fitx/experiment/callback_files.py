"""Where callbacks of Keras write: below the folder of their run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fitx.errors import UsageError
from fitx.experiment.experiment import Experiment
from fitx.registry import keras_parts
from fitx.registry.kinds import Part

WRITTEN = ("filename", "log_dir")
"""The options of Keras' callbacks that name a file or a folder to write."""


def written_below(part: Part, folder: Path) -> Part:
    """Return a callback whose relative paths start at a folder."""
    given = {k: str(folder / v) for k, v in part.options.items() if k in WRITTEN}
    return replace(part, options={**part.options, **given})


def refuse_elsewhere(experiment: Experiment, run: Path) -> None:
    """Raise UsageError if a callback would write outside of a run: a run folder is data.

    What stands in the experiment file that a user names may write where it likes.
    """
    for key, path in _paths(experiment, run):
        if not path.resolve().is_relative_to(run.resolve()):
            raise UsageError(
                f"{key}: {path} lies outside of the run; a run that is resumed writes into its own "
                f"folder only. `fitx train FILE --resume {run}` goes on with your own file."
            )


def _paths(experiment: Experiment, run: Path) -> Iterator[tuple[str, Path]]:
    for index, part in enumerate(experiment.callbacks):
        if keras_parts.class_name(part.kind, part.name):
            for name in WRITTEN:
                if name in part.options:
                    yield f"callbacks.{index}.{name}", run / str(part.options[name])
