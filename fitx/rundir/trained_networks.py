"""Finds the runs that an experiment starts from, and reads the state that a run ended with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fitx import checkpoint
from fitx.checkpoint import Newest
from fitx.checkpoint.state_names import BEST, FINAL, part
from fitx.errors import StorageError, UsageError
from fitx.experiment.after import NetworkSource, network_sources
from fitx.experiment.experiment import Experiment
from fitx.rundir import folder, record
from fitx.rundir.checkpoint_meta_checks import parse_meta


def with_source_runs(experiment: Experiment, out: Path) -> Experiment:
    """Return an experiment with the folders of the runs that its key `after` names.

    Args:
        experiment: The experiment to train, or to evaluate untrained.
        out: The folder of all runs.

    Raises:
        ConfigError: There is no such run.
    """
    sources = (_found(experiment, s, out) for s in network_sources(experiment.after))
    return replace(experiment, sources=tuple(sources))


def _found(experiment: Experiment, source: NetworkSource, out: Path) -> NetworkSource:
    """Return a source with its run folder; a path starts at the file in which it is written."""
    place = experiment.document.value_place(source.path)
    try:
        try:
            run = folder.find_run(str(place.source.file(source.run)), out)
        except UsageError:
            run = folder.find_run(source.run, out)
    except UsageError as error:
        raise experiment.error(source.path, str(error)) from error
    return replace(source, folder=run)


def read_trained(run: Path, weights: str) -> Newest:
    """Return the newest valid checkpoint of a run, with the weights that are asked for.

    Args:
        run: The run folder.
        weights: "last" for the state that the run ended with, "best" for that of its best epoch.

    Raises:
        StorageError: No checkpoint of the run is valid.
        UsageError: The run keeps no best epoch.
    """
    newest = checkpoint.newest(run / "checkpoints", record.load(run)["id"], parse_meta)
    if newest is None:
        raise StorageError(f"{run} holds no checkpoint yet.")
    best = part(newest.state, BEST)
    if weights == "best" and not best:
        raise UsageError(f"{run} keeps no best epoch; train with checkpoint.monitor set.")
    chosen = best if weights == "best" else part(newest.state, FINAL)
    return replace(newest, state={**newest.state, **chosen})
