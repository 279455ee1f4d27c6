"""What becomes of a run, however it ends: in run.json, and in the error that ended it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fitx.errors import Diverged, FitxError, Interrupted, StorageError, WorkerLost
from fitx.rundir.record import Record
from fitx.training.checkpointing import CheckpointSaver
from fitx.training.result import relative_to_cwd
from fitx.training.signals import StopRequest

STATUSES: dict[type[BaseException], str] = {
    Diverged: "diverged",
    Interrupted: "interrupted",
    KeyboardInterrupt: "interrupted",
}
"""What run.json calls a run that ended by an error of this kind; `failed` for any other."""


@dataclass
class Ending:
    """What the record of a run that ends needs to know.

    Args:
        saver: What writes the run's checkpoints; None until there is one.
    """

    saver: CheckpointSaver | None = None

    def kept(self) -> dict[str, object]:
        """Return the checkpoint that is left, and the best epoch whose networks it holds."""
        saver = self.saver
        if saver is None:
            return {}
        return {"last": saver.last.name if saver.last else None, "best": saver.last_best}


@contextmanager
def recorded(record: Record) -> Iterator[Ending]:
    """Write into run.json how a run ended, whatever ended it."""
    ending = Ending()
    try:
        yield ending
        record.update(status="finished", **ending.kept())
    except BaseException as error:
        status = STATUSES.get(type(error), "failed")
        own = isinstance(error, FitxError)
        text = str(error) if own else f"{type(error).__name__}: {error}"
        try:
            record.update(status=status, error=text, **ending.kept())
        except StorageError as second:
            # What ended the run is what the user must hear of, and its exit code counts.
            error.add_note(str(second))
        raise


@contextmanager
def written(saver: CheckpointSaver) -> Iterator[None]:
    """Wait for the checkpoint that is being written, while the journal that it needs is open."""
    try:
        yield
    except BaseException as error:
        _let_write(saver, error)
        raise


def _let_write(saver: CheckpointSaver, error: BaseException) -> None:
    """Wait for the checkpoint that is being written; what ended the run may be its failure."""
    try:
        saver.wait()
    except FitxError as second:
        if second is not error:
            error.add_note(str(second))


@contextmanager
def ended_together(stop: StopRequest) -> Iterator[None]:
    """Take the loss of another worker for what it is after a signal: the end of all."""
    try:
        yield
    except WorkerLost as error:
        if stop.number:
            raise Interrupted(f"stopped by {stop.name}.", stop.number) from error
        raise


@contextmanager
def located(run: Path) -> Iterator[None]:
    """Let errors say in which run folder they happened."""
    try:
        yield
    except FitxError as error:
        error.run = str(relative_to_cwd(run))
        raise
