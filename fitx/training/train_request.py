"""What is asked for, refused or settled before TensorFlow is imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fitx.experiment.experiment import Experiment
from fitx.rundir.folder import check_writable
from fitx.rundir.provenance import Provenance, read_provenance

SMOKE_STEPS = 2
"""Batches of training, validation and test that a run takes which is only tried."""

SMOKE = "-smoke"
"""Ends the name of an experiment that is only tried, so that its runs have a folder apart."""

MOST_NAME = 100 - len(SMOKE)


@dataclass(frozen=True)
class TrainRequest:
    """How the user asked for a run.

    Args:
        out: The folder of all runs.
        smoke: Whether only to try it.
        origin: Where the experiment comes from; None looks when the run starts.
        notes: What there is to say first.
        stop_after: The training step after which to stop as if by SIGTERM; None for the end.
    """

    out: Path
    smoke: bool = False
    origin: Provenance | None = None
    notes: tuple[str, ...] = ()
    stop_after: int | None = None


def prepare_request(experiment: Experiment, out: Path, *, smoke: bool = False) -> TrainRequest:
    """Order a run of an experiment that was just read.

    Raises:
        ConfigError: Nothing is to be trained.
        StorageError: `out` cannot take a run, or a file of the experiment is gone.
    """
    demand_training(experiment, smoke=smoke)
    check_writable(out)
    return TrainRequest(out, smoke, origin(experiment))


def demand_training(experiment: Experiment, *, smoke: bool) -> None:
    """Raise ConfigError for an experiment that trains no network and yet asks for epochs."""
    if experiment.optimizers or not (experiment.fit.epochs or smoke):
        return
    frozen = "missing; a network without an optimizer is frozen, so nothing would be trained."
    advice = f"`fitx evaluate {experiment.document.name}` measures it as it is."
    raise experiment.error(("optimizer",), f"{frozen} {advice}")


def origin(experiment: Experiment) -> Provenance:
    """Look at the files an experiment was read from, its plugins too."""
    return read_provenance((*experiment.document.files, *experiment.plugins))


def shortened(experiment: Experiment) -> Experiment:
    """Return the experiment cut to two steps of everything, under a name of its own."""
    steps = {"epochs": 1, "steps_per_epoch": SMOKE_STEPS, "validation_steps": SMOKE_STEPS}
    fit = experiment.fit.model_copy(update={**steps, "validation_freq": 1})
    name = f"{experiment.name[:MOST_NAME]}{SMOKE}"
    return replace(experiment, fit=fit, name=name, expect={}, is_smoke=True)
