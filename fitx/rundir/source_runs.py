"""Finds the runs whose networks an experiment starts with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fitx.errors import UsageError
from fitx.experiment.after import NetworkSource, network_sources
from fitx.experiment.experiment import Experiment
from fitx.rundir import folder


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
