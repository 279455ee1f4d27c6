"""Trains an experiment from its beginning, in a new run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fitx import external_settings
from fitx.build.built import BuiltExperiment
from fitx.build.callback_parts import writes_events
from fitx.build.trained_weights import initial_weight_notes
from fitx.experiment.experiment import Experiment
from fitx.rundir import folder
from fitx.rundir.lock import hold
from fitx.rundir.provenance import Provenance
from fitx.runtime import Runtime
from fitx.training.display_interface import Display
from fitx.training.loop import run_training
from fitx.training.result import Result
from fitx.training.run_record import data_fingerprint, start_record
from fitx.training.session import OpenRun, naming_run, session
from fitx.training.setup import build_and_trace, prepare_runtime
from fitx.training.train_request import TrainRequest, experiment_provenance, shortened


def train(experiment: Experiment, request: TrainRequest, display: Display) -> Result:
    """Train an experiment from its beginning and return its final values.

    Raises:
        ConfigError: The parts of the experiment do not fit together.
        DataError, DeviceError, UserCodeError, StorageError: As their names say.
        Diverged: A logged value is NaN or infinite; the run folder keeps what was logged.
        Interrupted: A signal stopped the run; its state is on disk.
    """
    provenance = request.provenance or experiment_provenance(experiment)
    experiment = shortened(experiment) if request.smoke else experiment
    device = prepare_runtime(experiment)
    built = build_and_trace(experiment, device)
    new_run = _new_run(request, built, device, provenance, data_fingerprint(built.data))
    with session(new_run, built, device, display, request.stop_after) as context:
        return run_training(context)


@contextmanager
def _new_run(
    request: TrainRequest,
    built: BuiltExperiment,
    device: Runtime,
    provenance: Provenance,
    data: dict[str, Any],
) -> Iterator[OpenRun]:
    """Create and lock a run folder, and write its first files."""
    # TensorBoard follows links, and would show the run twice.
    has_link = not writes_events(built.experiment)
    run = folder.create_run(request.out, built.experiment.name, has_link=has_link)
    with naming_run(run), hold(run):
        record = start_record(run, built, device, provenance, data)
        weight_notes = initial_weight_notes(built.experiment, built.initial_weights)
        notes = (*request.notes, *external_settings.notes(), *weight_notes)
        link_note = _link_note(run, has_link=has_link)
        yield OpenRun(record, (*notes, *filter(None, [link_note])))


def _link_note(run: Path, *, has_link: bool) -> str | None:
    """Return a note if the run has no link `latest`."""
    if has_link:
        return folder.without_latest(run)
    reason = "is not created, because TensorBoard would show the run twice"
    return folder.without_latest(run, reason)
