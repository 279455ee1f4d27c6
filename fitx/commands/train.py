"""Train an experiment: make everything, call `fit`, leave a run folder that can be trusted."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from fitx.build.make import writes_events
from fitx.experiment.experiment import Experiment
from fitx.external_settings import notes
from fitx.rundir import folder
from fitx.rundir.journal import Journal
from fitx.rundir.lock import hold
from fitx.training import run_record
from fitx.training.checkpointing import CheckpointSaver
from fitx.training.loop import TrainingContext, run_training
from fitx.training.outcome import ended_together, located, recorded, written
from fitx.training.progress import Display
from fitx.training.result import Result
from fitx.training.setup import build_and_trace, prepare_runtime, showing
from fitx.training.signals import StopRequest, listening
from fitx.training.train_request import (
    SMOKE_STEPS,
    TrainRequest,
    demand_training,
    origin,
    shortened,
)


def train(experiment: Experiment, order: TrainRequest, display: Display) -> Result:
    """Train an experiment from its beginning and return its final values.

    Raises:
        ConfigError: Nothing is to be trained, or the parts do not fit together.
        DataError, DeviceError, UserCodeError, StorageError: As their names say.
        Diverged: A logged value is NaN or infinite; the run folder keeps what was logged.
        Interrupted: A signal stopped the run; its state is on disk.
    """
    demand_training(experiment, smoke=order.smoke)
    given = order.origin or origin(experiment)
    experiment = shortened(experiment) if order.smoke else experiment
    device = prepare_runtime(experiment)
    built = build_and_trace(experiment, device)
    data = run_record.fingerprint(built.data)
    with listening(order.stop_after) as stop:
        # TensorBoard follows links, and would show every run twice.
        has_link = not writes_events(experiment)
        run = folder.create_run(order.out, experiment.name, has_link=has_link)
        with located(run), hold(run):
            record = run_record.write(run, built, device, given, data)
            with recorded(record) as ending, closing(Journal(run)) as journal:
                ending.saver = saver = CheckpointSaver(
                    run / "checkpoints", experiment.checkpoint, journal.sync, record.facts["id"]
                )
                # The chief stops for all workers, with a checkpoint; the others end when it has
                # gone.
                asked = stop if device.is_chief else StopRequest()
                steps = SMOKE_STEPS if order.smoke else None
                work = TrainingContext(built, run, journal, saver, display, asked, steps)
                plan = run_record.plan(built, run, device)
                with written(saver), ended_together(stop), showing(display, plan):
                    texts = (*order.notes, *notes(), _unlinked(run, has_link=has_link))
                    for text in filter(None, texts):
                        display.note(text)
                    return run_training(work)


def _unlinked(run: Path, *, has_link: bool) -> str | None:
    """Return what to say where a run has no link `latest`."""
    if has_link:
        return folder.without_latest(run)
    return folder.without_latest(run, "is not made, as TensorBoard would show the run twice by it")
