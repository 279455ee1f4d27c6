"""Resumes a run from its newest undamaged checkpoint, so that it ends as if never interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fitx import checkpoint, external_settings, runtime
from fitx.build.built import BuiltExperiment
from fitx.checkpoint import Newest
from fitx.errors import StorageError, UsageError
from fitx.experiment.checks.paths import input_files
from fitx.rundir import record, run_environment
from fitx.rundir.checkpoint_meta_checks import is_reshaping, meta_check, position_problem
from fitx.rundir.fingerprint import fingerprints
from fitx.rundir.saved_experiment import commit
from fitx.stages import Stage
from fitx.training.display_interface import Display
from fitx.training.loop import run_training
from fitx.training.result import Result
from fitx.training.resumption import changes, env_seals, epochs
from fitx.training.resumption.changes import Change
from fitx.training.resumption.experiment_values import callback_options
from fitx.training.resumption.resume_request import ResumeRequest
from fitx.training.run_record import data_fingerprint, execution_fields
from fitx.training.session import OpenRun, naming_run, session
from fitx.training.setup import build_and_trace, prepare_runtime
from fitx.training.state.run_state import learning_rates
from fitx.training.state.snapshot import Snapshot, position_from_meta, training_part
from fitx.training.state.variables import capture, mismatches, variables


@dataclass(frozen=True)
class _ResumePoint:
    """The checkpoint that a run continues from, and its state with the user's changes."""

    newest: Newest
    snapshot: Snapshot


def resume(request: ResumeRequest, display: Display) -> Result:
    """Train a run to its end from its newest whole checkpoint; from step 0 without one.

    The caller holds the run's lock since before TensorFlow was imported.

    Raises:
        UsageError: Device or data differ from those that the run was trained on, and that was not
            allowed.
        ConfigError, DataError, DeviceError, UserCodeError, StorageError, Diverged, Interrupted:
            As for `train`.
    """
    with naming_run(request.run):
        available = runtime.threads()
        device = prepare_runtime(request.on_threads(available))
        built = build_and_trace(request.experiment, device, request.modes)
        current_fields = {**execution_fields(built, device), "data": data_fingerprint(built.data)}
        environment_changes = changes.compare_environment(request.record, current_fields)
        changes.refuse_incompatible(environment_changes, allow_inexact=request.allow_inexact)
        start = _start(request, built, environment_changes)
        notes = [*changes.change_notes(environment_changes), *_notes(request, built, start)]
        if request.on_threads(available) is not request.experiment:
            notes.append(f"on {device.threads} of {available} threads, as when the run started")
        fields = {**current_fields, **_resume_fields(request, start, environment_changes)}
        reopened_run = _reopened_run(request, start, fields, notes)
        with session(reopened_run, built, device, display, request.stop_after) as context:
            return run_training(context)


@contextmanager
def _reopened_run(
    request: ResumeRequest, start: _ResumePoint | None, fields: dict[str, Any], notes: Sequence[str]
) -> Iterator[OpenRun]:
    """Write into the run's files that it is running again, and with what changes."""
    run_record = record.reopen(request.run)
    commit(run_record, request.rewritten, status="running", error=None, **fields)
    folder, snapshot = (start.newest.folder, start.snapshot) if start else (None, None)
    yield OpenRun(run_record, (*request.notes, *notes), folder, snapshot)


def _start(
    request: ResumeRequest, built: BuiltExperiment, environment_changes: list[Change]
) -> _ResumePoint | None:
    """Read the newest whole checkpoint and apply the user's changes; None if there is none.

    Raises:
        UsageError: The changes do not fit the checkpoint.
        StorageError: No checkpoint is whole, or it is not one of this experiment.
    """
    check = _meta_check(request, built, environment_changes)
    with Stage("reading the checkpoint"):
        newest = checkpoint.newest(request.run / "checkpoints", request.record["id"], check)
    if newest is None:
        return None
    variable_by_name = variables(built.step)
    _refuse_mismatches(request, newest, mismatches(variable_by_name, training_part(newest.state)))
    return _ResumePoint(
        newest, _changed(Snapshot(newest.state, newest.meta), built, variable_by_name)
    )


def _meta_check(
    request: ResumeRequest, built: BuiltExperiment, environment_changes: list[Change]
) -> Callable[[Any], None]:
    """Return a function that raises ValueError for the meta of a checkpoint that does not fit."""
    check_agreement = meta_check(request.run, request.record)
    all_changes = (*request.changes, *environment_changes)
    is_reshaped = any(is_reshaping(str(change)) for change in all_changes)

    def check(meta: Any) -> None:
        check_agreement(meta)
        steps, rows = built.steps_per_epoch, built.data.batch_size
        problem = None if is_reshaped else position_problem(meta, steps, rows, request.record)
        if problem:
            raise ValueError(f"meta.json: {problem}")

    return check


def _changed(
    snapshot: Snapshot, built: BuiltExperiment, variable_by_name: dict[str, Any]
) -> Snapshot:
    """Return a snapshot with the changes of the experiment since it was saved.

    The snapshot itself says what the experiment asked for then. So a change counts even if the
    resume that made it was killed before it saved a checkpoint.
    """
    meta = dict(snapshot.meta)
    for name, rate in learning_rates(variable_by_name).items():
        if rate != meta["built_rates"].get(name):
            # In place: the state is large, and is released as soon as it has been restored.
            snapshot.state.update(capture({name: variable_by_name[name]}))
    if sorted(meta["callback_options"].values()) != sorted(callback_options(built.experiment)):
        meta["stopping"] = False
    meta["passed"] = _skip_steps(built, meta)
    return Snapshot(snapshot.state, meta)


def _skip_steps(built: BuiltExperiment, meta: dict[str, Any]) -> int:
    """Return the steps of the current epoch that count as done, with today's batch size.

    The epoch continues after the rows that it has trained on, and ends with its last step.
    """
    steps, steps_done = built.steps_per_epoch, int(meta["passed"])
    if meta["phase"] == "validation":
        return steps
    if built.experiment.fit.steps_per_epoch is None:
        steps_done = steps_done * int(meta["batch_size"]) // built.data.batch_size
    return min(steps_done, steps)


def _refuse_mismatches(request: ResumeRequest, newest: Newest, problems: str) -> None:
    changed = [f"  {change}" for change in request.changes if change.verdict != "harmless"]
    if problems and changed:
        listed = "\n".join(changed)
        text = f"the run cannot be resumed: these changes do not fit its checkpoint:\n{listed}"
        raise UsageError(f"{text}\n{problems}\nTrain a new run with `fitx train`.")
    if problems:
        reason = "does not belong to this run, or another version of fitx wrote it"
        raise StorageError(f"checkpoint {newest.folder} {reason}:\n{problems}")


def _notes(
    request: ResumeRequest, built: BuiltExperiment, start: _ResumePoint | None
) -> Iterator[str]:
    """Yield notes on where the run continues, and what that means."""
    yield from external_settings.notes()
    if start is None:
        yield "there is no checkpoint yet: training starts at step 0"
        return
    yield from (f"skipped: {text}" for text in start.newest.skipped)
    position, last_epoch = position_from_meta(start.snapshot.meta), request.experiment.fit.epochs
    yield f"resumed from checkpoint {start.newest.folder.name}, after step {position.step:,}"
    yield from epochs.schedule_notes(request.trained, request.experiment, built.steps_per_epoch)
    if position.phase != "between":
        return
    if position.stopping and position.epoch < last_epoch:
        yield (
            f"a callback stopped the training after epoch {position.epoch}, so there is nothing to "
            "do; change the callbacks to continue training"
        )
    elif note := epochs.nothing_left_note(last_epoch, position.epoch):
        yield note


def _resume_fields(
    request: ResumeRequest, start: _ResumePoint | None, environment_changes: list[Change]
) -> dict[str, Any]:
    """Return the fields of run.json that a resume changes, with one more entry in `resumed`."""
    earlier, environment = request.record.get("resumed", []), run_environment.describe_environment()
    entry = {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "from": start.newest.folder.name if start is not None else None,
        "changes": [str(change) for change in (*request.changes, *environment_changes)],
        **environment,
    }
    return {
        "resumed": [*earlier, entry],
        "name": request.experiment.name,
        "seed": request.experiment.seed,
        "references": env_seals.seal(request.experiment),
        "files": fingerprints(input_files(request.experiment)),
        **{key: value for key, value in environment.items() if key in changes.ENVIRONMENT},
    }
