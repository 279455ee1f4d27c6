"""Evaluates the networks of a run, or the untrained ones of an experiment, on a split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fitx import external_settings
from fitx.build import plugin_checks
from fitx.build.built import BuiltExperiment
from fitx.build.execution_setup import PlannedSteps, prepare_execution
from fitx.build.make import make
from fitx.build.trained_weights import initial_weight_notes
from fitx.errors import UsageError
from fitx.experiment.checks.paths import input_files
from fitx.experiment.experiment import Experiment
from fitx.registry.kinds import SHARED_OPTIMIZER
from fitx.rundir import record
from fitx.rundir.fingerprint import check_present, fingerprints
from fitx.rundir.saved_experiment import read_unimported
from fitx.runtime import Runtime
from fitx.stages import Stage
from fitx.training.display_interface import Display, Plan, showing
from fitx.training.evaluation import Restored, evaluate_split, restore_for_evaluation
from fitx.training.nan_search.search import refuse_measured
from fitx.training.plan import parts_line
from fitx.training.result import Result, relative_to_cwd
from fitx.training.run_record import split_fingerprint
from fitx.training.setup import prepare_runtime


@dataclass(frozen=True)
class EvaluationRequest:
    """The user's request for an evaluation.

    Args:
        split: "train", "validation" or "test"; None for the first that exists of test, validation
            and train.
        run: The run whose networks are evaluated; None for the untrained experiment.
        weights: "last" for those that the run ended with, "best" for those of its best epoch.
        steps: The most batches to run; None for all.
        note: A line to show first; may be empty.
    """

    split: str | None = None
    run: Path | None = None
    weights: str = "last"
    steps: int | None = None
    note: str = ""


def evaluate(experiment: Experiment, request: EvaluationRequest, display: Display) -> Result:
    """Evaluate an experiment's networks and return the values.

    Raises:
        ConfigError, DataError, DeviceError, UserCodeError: As for training.
        UsageError: There is no such split, or no best epoch.
        StorageError: No checkpoint of the run is whole, it does not fit the experiment, or a file
            that the run was trained with is gone.
        Diverged: A value is NaN or infinite.
    """
    run = request.run
    if run is not None:
        check_present(input_files(experiment), record.load(run)["files"])
    device = prepare_runtime(experiment)
    built = make(_without_callbacks(experiment), device)
    plugin_checks.require_evaluation(built.experiment, built.step)
    split = _split(built, request.split)
    steps = built.data.steps(split)
    planned = [PlannedSteps("test", split, steps, request.steps or steps)]
    prepare_execution(built, device, planned, _recorded_mode(experiment, run, device))
    with Stage("reading the checkpoint"):
        restored = restore_for_evaluation(built.step, run, request.weights) if run else None
    examples = _examples(built, split, request.steps)
    with showing(display, _plan(built, run, device, f"{split} split: {examples:,} examples")):
        for note in _notes(experiment, built, request, split, restored):
            display.note(note)
        values = evaluate_split(built, split, display, request.steps)
    refuse_measured(values, split, built)
    details: dict[str, Any] = {"examples": examples}
    if restored is not None:
        details |= {"weights": request.weights, "checkpoint": restored.checkpoint}
    return Result(relative_to_cwd(run) if run is not None else None, split, values, details)


def _without_callbacks(experiment: Experiment) -> Experiment:
    """Return the experiment with everything that training builds, except callbacks.

    Optimizers are built because a `test_step` may use one, and because a network without an
    optimizer is frozen and has no regularization loss.
    """
    names = {*experiment.networks, SHARED_OPTIMIZER}
    optimizers = {k: v for k, v in experiment.optimizers.items() if k in names}
    return replace(experiment, optimizers=optimizers, callbacks=[])


def _recorded_mode(
    experiment: Experiment, run: Path | None, device: Runtime
) -> dict[str, str] | None:
    """Return the mode of the run's own evaluations; None to choose one.

    It is None if the step, the kind of device or `execution.mode` is not that of the run.
    """
    if run is None:
        return None
    trained, recorded = read_unimported(run), record.load(run)
    is_same_step = trained.step.name == experiment.step.name
    is_same_device = recorded["device_kind"] == device.kind
    is_same_setting = trained.execution.mode == experiment.execution.mode
    is_same = is_same_step and is_same_device and is_same_setting
    return {"test": recorded["evaluation_mode"]} if is_same else None


def _plan(built: BuiltExperiment, run: Path | None, device: Runtime, data: str) -> Plan:
    folder = str(relative_to_cwd(run)) if run is not None else ""
    # Nothing is trained, although optimizers are built.
    untrained = replace(built, experiment=replace(built.experiment, optimizers={}))
    summary = parts_line(untrained, data)
    return Plan(built.experiment.name, folder, device.description, 0, 0, summary)


def _notes(
    experiment: Experiment,
    built: BuiltExperiment,
    request: EvaluationRequest,
    split: str,
    restored: Restored | None,
) -> Iterator[str]:
    """Yield notes on the request, the checkpoint, and data or files that have changed."""
    if request.note:
        yield request.note
    yield from external_settings.notes()
    yield from initial_weight_notes(experiment, built.initial_weights)
    if restored is None or request.run is None:
        return
    yield from restored.notes
    if not _is_same_data(built, request.run, split):
        yield f"the {split} split differs from the one that the run was trained with"
    for key in _changed_files(experiment, request.run):
        yield f"{key}: the content of the file differs from the one that the run was trained with"


def _split(built: BuiltExperiment, requested: str | None) -> str:
    splits = built.data.splits
    if requested is None:
        return next(s for s in ("test", "validation", "train") if s in splits)
    if requested not in splits:
        name = built.experiment.data.name
        hint = " Set data.validation_split." if requested == "validation" else ""
        text = f"the data '{name}' has no {requested} split; it has {', '.join(splits)}.{hint}"
        raise UsageError(text)
    return requested


def _examples(built: BuiltExperiment, split: str, limit: int | None) -> int:
    rows = len(built.data.splits[split])
    return min(rows, limit * built.data.batch_size) if limit else rows


def _is_same_data(built: BuiltExperiment, run: Path, split: str) -> bool:
    recorded = record.load(run)["data"].get(split)
    if recorded is None:
        # The step of the run measures nothing.
        return True
    with Stage(f"hashing the {split} split"):
        return bool(recorded == split_fingerprint(built.data, split))


def _changed_files(experiment: Experiment, run: Path) -> list[str]:
    """Return the keys of files that exist, with another content than when the run began."""
    recorded, now = record.load(run)["files"], fingerprints(input_files(experiment))
    return [key for key in now if key in recorded and now[key] != recorded[key]]
