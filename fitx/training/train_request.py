"""The request to train: checked before TensorFlow is imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fitx.experiment.experiment import Experiment
from fitx.rundir.folder import check_writable
from fitx.rundir.provenance import Provenance, read_provenance

SMOKE_STEPS = 2
"""Batches of training, validation and test in a run with `--smoke`."""

SMOKE = "-smoke"
"""Suffix of the name of an experiment with `--smoke`, so that its runs have their own folder."""

MOST_NAME = 100 - len(SMOKE)
"""The most characters that a name keeps before the suffix."""


@dataclass(frozen=True)
class TrainRequest:
    """The user's request for a new run.

    Args:
        out: The folder of all runs.
        smoke: Whether to run only a few steps.
        provenance: The files of the experiment; None reads them when training starts.
        notes: Lines to show first.
        stop_after: Training step after which to stop as if by SIGTERM; None for the end.
    """

    out: Path
    smoke: bool = False
    provenance: Provenance | None = None
    notes: tuple[str, ...] = ()
    stop_after: int | None = None


def prepare_request(experiment: Experiment, out: Path, *, smoke: bool = False) -> TrainRequest:
    """Return the request to train an experiment that was just read.

    Raises:
        ConfigError: The experiment trains no network.
        StorageError: `out` is not writable, or a file of the experiment is gone.
    """
    demand_training(experiment, smoke=smoke)
    check_writable(out)
    return TrainRequest(out, smoke, experiment_provenance(experiment))


def demand_training(experiment: Experiment, *, smoke: bool) -> None:
    """Raise ConfigError for an experiment that asks for epochs and has no optimizer."""
    if experiment.trains or not (experiment.fit.epochs or smoke):
        return
    problem = "missing; a network without an optimizer is frozen, so nothing would be trained."
    advice = f"`fitx evaluate {experiment.document.name}` evaluates the networks as they are."
    raise experiment.error(("optimizer",), f"{problem} {advice}")


def experiment_provenance(experiment: Experiment) -> Provenance:
    """Read the files of an experiment and of its plugins."""
    return read_provenance((*experiment.document.files, *experiment.plugins))


def shortened(experiment: Experiment) -> Experiment:
    """Return the experiment with two steps of everything, and a name of its own."""
    steps = {"epochs": 1, "steps_per_epoch": SMOKE_STEPS, "validation_steps": SMOKE_STEPS}
    fit = experiment.fit.model_copy(update={**steps, "validation_freq": 1})
    name = f"{experiment.name[:MOST_NAME]}{SMOKE}"
    return replace(experiment, fit=fit, name=name, expect={}, is_smoke=True)
