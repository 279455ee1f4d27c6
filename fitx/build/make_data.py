"""Loads the data of an experiment: one dataset, or several that are read side by side."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from fitx.build import plugin_checks
from fitx.build.make_parts import call_part
from fitx.data import prepare as preparation
from fitx.data.array_checks import validate
from fitx.data.prepare import Data
from fitx.data.splits import rows_text
from fitx.errors import DataError
from fitx.experiment.experiment import Experiment
from fitx.experiment.schema import DataOptions
from fitx.experiment.yaml.tree import KeyPath
from fitx.registry.kinds import ZIP, Part
from fitx.registry.registries import REGISTRIES
from fitx.stages import Stage


def make_data(experiment: Experiment) -> Data:
    """Load the splits of each dataset, check every number, and set up batches."""
    data, parts = experiment.data, experiment.datasets
    if data.name != ZIP:
        return _make_one(experiment, data, ("data",))
    streams = {str(path[-1]): _make_stream(experiment, part, path) for path, part in parts.items()}
    options = {"seed": experiment.seed, **data.options, "streams": streams}
    zipped: Data = REGISTRIES["dataset"].get(ZIP)(**options)
    return zipped


def check_shares(experiment: Experiment, data: Data, count: int) -> None:
    """Refuse a batch size that devices cannot share equally. Raises ConfigError."""
    streams = data.streams
    for path in experiment.datasets:
        batch_size = streams[str(path[-1])].batch_size if streams else data.batch_size
        if batch_size % count:
            fitting = max(batch_size // count, 1) * count
            text = f"{batch_size} examples cannot be shared equally by {count} devices; write"
            text += f" {fitting} or {fitting + count}."
            raise experiment.error((*path, "batch_size"), text)


def _make_stream(experiment: Experiment, part: Part, path: KeyPath) -> Data:
    try:
        return _make_one(experiment, part, path)
    except DataError as error:
        raise DataError(f"stream '{path[-1]}': {error}") from error


def _make_one(experiment: Experiment, part: Part, path: KeyPath) -> Data:
    shared = {field.name for field in fields(DataOptions)}
    dataset_options = {k: v for k, v in part.options.items() if k not in shared}
    options = DataOptions(**{k: v for k, v in part.options.items() if k in shared})
    values_from_fitx: dict[str, Any] = {"seed": experiment.seed}
    with Stage(f"reading {part.name}"):
        dataset_result = call_part(
            experiment, replace(part, options=dataset_options), path, values_from_fitx
        )
        splits = plugin_checks.splits(part, dataset_result)
    source = f"{part.name} '{dataset_options['path']}'" if "path" in dataset_options else part.name
    with Stage(f"checking {rows_text(splits)}"):
        validate(splits, source)
    with Stage(f"preparing {rows_text(splits)}"):
        return preparation.prepare(splits, options, seed=experiment.seed)
