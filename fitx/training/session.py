"""Sets up one training on an open run folder: signals, run.json, journal, checkpoints, display."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fitx.build.built import BuiltExperiment
from fitx.errors import FitxError, Interrupted, WorkerLost
from fitx.rundir.journal import Journal
from fitx.rundir.record import Record
from fitx.runtime import Runtime
from fitx.training.checkpointing import CheckpointSaver
from fitx.training.display_interface import Display, showing
from fitx.training.loop import TrainingContext
from fitx.training.plan import make_plan
from fitx.training.result import relative_to_cwd
from fitx.training.run_record import recording_end
from fitx.training.signals import StopRequest, listening
from fitx.training.state.snapshot import Snapshot
from fitx.training.train_request import SMOKE_STEPS


@dataclass(frozen=True)
class OpenRun:
    """A run folder that is locked, with a run.json that says `running`.

    Args:
        record: Its run.json.
        notes: Lines to show before training.
        checkpoint: The checkpoint that a resumed run continues from; None to start at step 0.
        snapshot: The content of that checkpoint.
    """

    record: Record
    notes: tuple[str, ...] = ()
    checkpoint: Path | None = None
    snapshot: Snapshot | None = None

    @property
    def journal_bytes(self) -> int:
        """The size of metrics.jsonl when the checkpoint was saved."""
        return int(self.snapshot.meta["journal_bytes"]) if self.snapshot is not None else 0


@contextmanager
def session(
    opening: AbstractContextManager[OpenRun],
    built: BuiltExperiment,
    device: Runtime,
    display: Display,
    stop_after: int | None,
) -> Iterator[TrainingContext]:
    """Open a run and yield the context for its training; record how the block ends.

    Args:
        opening: Creates or reopens the run folder; entered once signals are caught.
        built: The built and traced experiment.
        device: The prepared runtime.
        display: Shows the plan, the notes and the progress.
        stop_after: Training step after which to stop as if by SIGTERM; None for the end.
    """
    with (
        listening(stop_after) as stop,
        opening as run,
        recording_end(run.record) as ending,
        closing(Journal(run.record.run, run.journal_bytes)) as journal,
    ):
        ending.saver = saver = _saver(run, built, journal)
        # The chief saves a checkpoint and stops for all workers; the others end when it is gone.
        training_stop = stop if device.is_chief else StopRequest()
        folder, steps = run.record.run, SMOKE_STEPS if built.experiment.is_smoke else None
        context = TrainingContext(
            built, folder, journal, saver, display, training_stop, steps, run.snapshot
        )
        with (
            _finishing_writes(saver),
            _stopping_together(stop),
            showing(display, make_plan(built, folder, device)),
        ):
            for text in run.notes:
                display.note(text)
            yield context


def _saver(run: OpenRun, built: BuiltExperiment, journal: Journal) -> CheckpointSaver:
    folder, settings = run.record.run / "checkpoints", built.experiment.checkpoint
    saver = CheckpointSaver(folder, settings, journal.sync, run.record.facts["id"])
    if run.checkpoint is not None and run.snapshot is not None:
        saver.resume_from(run.checkpoint, run.snapshot)
    return saver


@contextmanager
def _finishing_writes(saver: CheckpointSaver) -> Iterator[None]:
    """After an error, wait for a checkpoint that is being written: it needs the open journal."""
    try:
        yield
    except BaseException as error:
        _finish_write(saver, error)
        raise


def _finish_write(saver: CheckpointSaver, error: BaseException) -> None:
    try:
        saver.wait()
    except FitxError as second:
        # The error that ended the run may be that of this very write.
        if second is not error:
            error.add_note(str(second))


@contextmanager
def _stopping_together(stop: StopRequest) -> Iterator[None]:
    """Report the loss of another worker after a signal as an interruption: all were stopped."""
    try:
        yield
    except WorkerLost as error:
        if stop.number:
            raise Interrupted(f"stopped by {stop.name}.", stop.number) from error
        raise


@contextmanager
def naming_run(run: Path) -> Iterator[None]:
    """Add the run folder to errors, so that they tell how to resume."""
    try:
        yield
    except FitxError as error:
        error.run = str(relative_to_cwd(run))
        raise
