"""Measure networks on a split: those of a run, or an experiment's untrained ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fitx import external_settings
from fitx.build import plugin_checks
from fitx.build.built import BuiltExperiment
from fitx.build.execution_setup import Task, prepare_execution
from fitx.build.make import make
from fitx.errors import UsageError
from fitx.experiment.checks.paths import input_files
from fitx.experiment.experiment import Experiment
from fitx.rundir import record
from fitx.rundir.fingerprint import check_present, fingerprints
from fitx.rundir.saved_experiment import read_unimported
from fitx.runtime import Runtime
from fitx.stages import Stage
from fitx.training import run_record
from fitx.training.evaluation import evaluate_split
from fitx.training.nan_search.search import refuse_measured
from fitx.training.progress import Display, Plan
from fitx.training.restoration import restore
from fitx.training.result import Result, relative_to_cwd
from fitx.training.setup import prepare_runtime, showing


@dataclass(frozen=True)
class EvaluationRequest:
    """What is to be measured.

    Args:
        split: train, validation or test; None takes the first there is of test, validation, train.
        run: The run whose networks are measured; None for the untrained experiment.
        weights: Which of the run's: those it ended with ("last"), or of its best epoch ("best").
        steps: Batches to measure at most; None for all.
        note: What there is to say about the choice; shown first.
    """

    split: str | None = None
    run: Path | None = None
    weights: str = "last"
    steps: int | None = None
    note: str = ""


def evaluate(experiment: Experiment, question: EvaluationRequest, display: Display) -> Result:
    """Measure an experiment's networks and return the values.

    Raises:
        ConfigError, DataError, DeviceError, UserCodeError: As for training.
        UsageError: There is no such split, or no best epoch.
        StorageError: No checkpoint of the run is whole, it does not fit the experiment, or a file
            that the run was trained with is gone.
        Diverged: A value is NaN or infinite.
    """
    if question.run is not None:
        check_present(input_files(experiment), record.load(question.run)["files"])
    device = prepare_runtime(experiment)
    built = make(_buildable(experiment), device)
    plugin_checks.demand_evaluation(built.experiment, built.step)
    split = _split(built, question.split)
    tasks = [Task("test", split, built.data.steps(split))]
    prepare_execution(built, device, tasks, _recorded_mode(experiment, question.run, device))
    with Stage("reading the checkpoint"):
        restored = restore(built.step, question.run, question.weights) if question.run else None
    examples = _examples(built, split, question.steps)
    with showing(display, _plan(built, question, device, f"{split} split: {examples:,} examples")):
        notes = (question.note, *external_settings.notes())
        for note in (*notes, *(restored.notes if restored else ())):
            if note:
                display.note(note)
        if question.run is not None and not _same_data(built, question.run, split):
            display.note(f"the {split} split is not the one this run had: its numbers differ")
        if question.run is not None:
            for key in _other_files(experiment, question.run):
                display.note(f"{key} is not the file this run had: what it holds differs")
        values = evaluate_split(built, split, display, question.steps)
    refuse_measured(values, split, built)
    run = relative_to_cwd(question.run) if question.run is not None else None
    facts: dict[str, Any] = {"examples": examples}
    if restored is not None:
        facts |= {"weights": question.weights, "checkpoint": restored.checkpoint}
    return Result(run, split, values, facts)


def _buildable(experiment: Experiment) -> Experiment:
    """Return what is built for an evaluation: all that a training builds, but for callbacks.

    A `test_step` may use an optimizer, and a network that is frozen has no regularization.
    """
    own = {k: v for k, v in experiment.optimizers.items() if k in experiment.networks}
    return replace(experiment, optimizers=own, callbacks=[])


def _recorded_mode(
    experiment: Experiment, run: Path | None, device: Runtime
) -> dict[str, str] | None:
    """Return the mode in which a run measured by this step on such a device; None chooses."""
    if run is None:
        return None
    trained, facts = read_unimported(run), record.load(run)
    is_same = trained.step.name == experiment.step.name and facts["device_kind"] == device.kind
    is_asked_for = trained.execution.mode != experiment.execution.mode
    return {"test": facts["evaluation_mode"]} if is_same and not is_asked_for else None


def _plan(built: BuiltExperiment, question: EvaluationRequest, device: Runtime, data: str) -> Plan:
    run = str(relative_to_cwd(question.run)) if question.run is not None else ""
    # Nothing is trained, whatever optimizers are built.
    untrained = replace(built, experiment=replace(built.experiment, optimizers={}))
    summary = run_record.summary(untrained, data)
    return Plan(built.experiment.name, run, device.description, 0, 0, summary)


def _split(built: BuiltExperiment, wanted: str | None) -> str:
    splits = built.data.splits
    if wanted is None:
        return next(s for s in ("test", "validation", "train") if s in splits)
    if wanted not in splits:
        name = built.experiment.data.name
        hint = " Set data.validation_split." if wanted == "validation" else ""
        text = f"the data '{name}' has no {wanted} split; it has {', '.join(splits)}.{hint}"
        raise UsageError(text)
    return wanted


def _examples(built: BuiltExperiment, split: str, limit: int | None) -> int:
    rows = len(built.data.splits[split])
    return min(rows, limit * built.data.batch_size) if limit else rows


def _same_data(built: BuiltExperiment, run: Path, split: str) -> bool:
    known = record.load(run)["data"].get(split)
    with Stage(f"hashing the {split} split"):
        return bool(known == run_record.split_fingerprint(built.data.splits[split]))


def _other_files(experiment: Experiment, run: Path) -> list[str]:
    """Return the keys whose files are there and hold something else than when a run began."""
    known = record.load(run)["files"]
    now = fingerprints(input_files(experiment))
    return [key for key in now if key in known and now[key] != known[key]]
