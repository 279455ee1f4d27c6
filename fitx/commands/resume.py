"""Go on with a run from its newest whole checkpoint, as exactly as if it had never ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fitx import checkpoint, external_settings, runtime
from fitx.build.built import BuiltExperiment
from fitx.checkpoint import Newest
from fitx.errors import StorageError, UsageError
from fitx.experiment.checks.paths import input_files
from fitx.rundir import record, run_environment
from fitx.rundir.checkpoint_meta import is_reshaping, meta_check, position_problem
from fitx.rundir.fingerprint import fingerprints
from fitx.rundir.journal import Journal
from fitx.rundir.saved_experiment import commit
from fitx.stages import Stage
from fitx.training import run_record
from fitx.training.checkpointing import CheckpointSaver
from fitx.training.loop import TrainingContext, run_training
from fitx.training.outcome import ended_together, located, recorded, written
from fitx.training.progress import Display
from fitx.training.result import Result
from fitx.training.resumption import changes, env_seals, epochs
from fitx.training.resumption.changes import Change
from fitx.training.resumption.experiment_values import callback_options
from fitx.training.resumption.resume_request import ResumeRequest
from fitx.training.setup import build_and_trace, prepare_runtime, showing
from fitx.training.signals import StopRequest, listening
from fitx.training.state.run_state import learning_rates
from fitx.training.state.snapshot import Position, Snapshot, position_from_meta, training_part
from fitx.training.state.variables import capture, mismatches, variables
from fitx.training.train_request import SMOKE_STEPS


@dataclass(frozen=True)
class _Start:
    """Where a run goes on: a checkpoint and its state; neither where there is none yet."""

    newest: Newest | None
    snapshot: Snapshot | None

    @property
    def at(self) -> Position:
        return position_from_meta(self.snapshot.meta) if self.snapshot is not None else Position()

    @property
    def journal_bytes(self) -> int:
        return int(self.snapshot.meta["journal_bytes"]) if self.snapshot is not None else 0


def resume(order: ResumeRequest, display: Display) -> Result:
    """Bring a run to its end from its newest whole checkpoint; from its beginning without one.

    The caller holds the run's lock, since before TensorFlow was imported.

    Raises:
        UsageError: What is there now differs from what was trained on, and that is not allowed.
        ConfigError, DataError, DeviceError, UserCodeError, StorageError, Diverged, Interrupted:
            As `train` raises them.
    """
    with located(order.run):
        available = runtime.threads()
        device = prepare_runtime(order.on_threads(available))
        built = build_and_trace(order.experiment, device, order.modes)
        now = {**run_record.computing(built, device), "data": run_record.fingerprint(built.data)}
        around = _allowed(order, now)
        start = _start(order, built, around)
        notes = [*order.notes, *changes.change_notes(around), *_notes(order, built, start)]
        if order.on_threads(available) is not order.experiment:
            notes.append(f"on {device.threads} of {available} threads, as the run began")
        with listening(order.stop_after) as stop:
            kept = record.reopen(order.run)
            facts = {**now, **_recorded_anew(order, start, around)}
            commit(kept, order.rewritten, status="running", error=None, **facts)
            journal_bytes = start.journal_bytes
            with recorded(kept) as ending, closing(Journal(order.run, journal_bytes)) as journal:
                ending.saver = saver = _saver(order, start, journal)
                asked = stop if device.is_chief else StopRequest()
                steps = SMOKE_STEPS if order.experiment.is_smoke else None
                work = TrainingContext(
                    built, order.run, journal, saver, display, asked, steps, start.snapshot
                )
                plan = run_record.plan(built, order.run, device)
                with written(saver), ended_together(stop), showing(display, plan):
                    for text in notes:
                        display.note(text)
                    return run_training(work)


def _allowed(order: ResumeRequest, now: dict[str, Any]) -> list[Change]:
    """Return what differs in device and data; refuse it unless that is allowed."""
    found = changes.compare_environment(order.facts, now)
    changes.refuse_incompatible(found, allow_inexact=order.allow_inexact)
    return found


def _start(order: ResumeRequest, built: BuiltExperiment, around: list[Change]) -> _Start:
    """Find the newest whole checkpoint, and let the state be what the user has changed in it.

    Raises:
        UsageError: The changes do not fit what the checkpoint holds.
        StorageError: No checkpoint is whole, or it is not one of this experiment.
    """
    check = _demanded(order, built, around)
    with Stage("reading the checkpoint"):
        newest = checkpoint.newest(order.run / "checkpoints", order.facts["id"], check)
    if newest is None:
        return _Start(None, None)
    named = variables(built.step)
    _demand_fit(order, newest, mismatches(named, training_part(newest.state)))
    return _Start(newest, _changed(Snapshot(newest.state, newest.meta), built, named))


def _demanded(
    order: ResumeRequest, built: BuiltExperiment, around: list[Change]
) -> Callable[[Any], None]:
    """Return a function that raises ValueError for a meta from which the run cannot go on."""
    agree = meta_check(order.run, order.facts)
    is_reshaped = any(is_reshaping(str(change)) for change in (*order.changes, *around))

    def demand(meta: Any) -> None:
        agree(meta)
        steps, rows = built.steps_per_epoch, built.data.batch_size
        problem = None if is_reshaped else position_problem(meta, steps, rows, order.facts)
        if problem:
            raise ValueError(f"meta.json: {problem}")

    return demand


def _changed(taken: Snapshot, built: BuiltExperiment, named: dict[str, Any]) -> Snapshot:
    """Return a state as the experiment wants it, which may be another than when it was taken.

    What was asked for then stands in the checkpoint itself. So a change counts whoever made it: a
    resume that was killed before it wrote a checkpoint of its own, too.
    """
    meta = dict(taken.meta)
    for name, rate in learning_rates(named).items():
        if rate != meta["built_rates"].get(name):
            # In place: the state is large, and is let go of as soon as it has been put back.
            taken.state.update(capture({name: named[name]}))
    if sorted(meta["callback_options"].values()) != sorted(callback_options(built.experiment)):
        meta["stopping"] = False
    meta["passed"] = _steps_passed(built, meta)
    return Snapshot(taken.state, meta)


def _steps_passed(built: BuiltExperiment, meta: dict[str, Any]) -> int:
    """Return how many steps of the epoch under way count as done, where an epoch has others now.

    The epoch goes on after the rows that it has trained on, and ends with its last step.
    """
    steps, passed = built.steps_per_epoch, int(meta["passed"])
    if meta["phase"] == "validation":
        return steps
    if built.experiment.fit.steps_per_epoch is None:
        passed = passed * int(meta["batch_size"]) // built.data.batch_size
    return min(passed, steps)


def _demand_fit(order: ResumeRequest, newest: Newest, problems: str) -> None:
    changed = [f"  {change}" for change in order.changes if change.verdict != "harmless"]
    if problems and changed:
        listed = "\n".join(changed)
        text = f"the run cannot go on with what does not fit its checkpoint:\n{listed}\n{problems}"
        raise UsageError(f"{text}\nTrain a new run with `fitx train`.")
    if problems:
        what = "is not one of this run, or another version of fitx wrote it"
        raise StorageError(f"checkpoint {newest.folder} {what}:\n{problems}")


def _notes(order: ResumeRequest, built: BuiltExperiment, start: _Start) -> Iterator[str]:
    """Say where the run goes on, and what that means."""
    yield from external_settings.notes()
    if start.newest is None:
        yield "there is no checkpoint yet: the run begins anew"
        return
    yield from (f"passed over: {text}" for text in start.newest.passed_over)
    at, asked = start.at, order.experiment.fit.epochs
    yield f"resumed from checkpoint {start.newest.folder.name}, after step {at.step:,}"
    yield from epochs.schedule_notes(order.trained, order.experiment, built.steps_per_epoch)
    if at.stopping and at.epoch < asked and at.phase == "between":
        yield (
            f"a callback ended the training after epoch {at.epoch}, and it stays ended; change "
            "the callbacks to train on"
        )
    elif at.phase == "between" and (left := epochs.nothing_left(asked, at.epoch)):
        yield left


def _recorded_anew(order: ResumeRequest, start: _Start, around: list[Change]) -> dict[str, Any]:
    """Return what run.json is to say from now on: how the run went on each time, and in what."""
    before, here = order.facts.get("resumed", []), run_environment.describe_environment()
    this = {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "from": start.newest.folder.name if start.newest is not None else None,
        "changes": [str(change) for change in (*order.changes, *around)],
        **here,
    }
    return {
        "resumed": [*before, this],
        "name": order.experiment.name,
        "seed": order.experiment.seed,
        "references": env_seals.seal(order.experiment),
        "files": fingerprints(input_files(order.experiment)),
        **{key: value for key, value in here.items() if key in changes.ENVIRONMENT},
    }


def _saver(order: ResumeRequest, start: _Start, journal: Journal) -> CheckpointSaver:
    saver = CheckpointSaver(
        order.run / "checkpoints", order.experiment.checkpoint, journal.sync, order.facts["id"]
    )
    if start.newest is not None and start.snapshot is not None:
        saver.resume_from(start.newest.folder, start.snapshot)
    return saver
