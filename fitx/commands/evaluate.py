"""Measure networks on a split: those of a run, or an experiment's untrained ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from fitx import external_settings, runtime
from fitx.build import plugin_checks
from fitx.build.built import Trial
from fitx.build.error_attribution import user_errors
from fitx.build.execution_setup import Task, prepare_execution
from fitx.build.make import make
from fitx.build.step_feeds import evaluation_feed
from fitx.errors import UsageError
from fitx.experiment import plugins
from fitx.experiment.checks.paths import input_files
from fitx.experiment.experiment import Experiment
from fitx.rundir import record
from fitx.rundir.fingerprint import demand_present, fingerprints
from fitx.rundir.saved_experiment import read_unimported
from fitx.runtime import Runtime
from fitx.stages import Stage
from fitx.training import run_record
from fitx.training.nan_search.search import refuse_measured
from fitx.training.progress import Display, Plan
from fitx.training.restoration import restore
from fitx.training.result import Result, relative_to_cwd


@dataclass(frozen=True)
class Question:
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


def evaluate(experiment: Experiment, question: Question, display: Display) -> Result:
    """Measure an experiment's networks and return the values.

    Raises:
        ConfigError, DataError, DeviceError, UserCodeError: As for training.
        UsageError: There is no such split, or no best epoch.
        StorageError: No checkpoint of the run is whole, it does not fit the experiment, or a file
            that the run was trained with is gone.
        Diverged: A value is NaN or infinite.
    """
    if question.run is not None:
        demand_present(input_files(experiment), record.load(question.run)["files"])
    device = prepare_runtime(experiment)
    trial = make(_buildable(experiment))
    plugin_checks.demand_evaluation(trial.experiment, trial.step)
    split = _split(trial, question.split)
    tasks = [Task("test", split, trial.data.steps(split))]
    prepare_execution(trial, device, tasks, _recorded_mode(experiment, question.run, device))
    with Stage("reading the checkpoint"):
        restored = restore(trial.step, question.run, question.weights) if question.run else None
    examples = _examples(trial, split, question.steps)
    with shown(display, _plan(trial, question, device, f"{split} split: {examples:,} examples")):
        notes = (question.note, *external_settings.notes())
        for note in (*notes, *(restored.notes if restored else ())):
            if note:
                display.note(note)
        if question.run is not None and not _same_data(trial, question.run, split):
            display.note(f"the {split} split is not the one this run had: its numbers differ")
        if question.run is not None:
            for key in _other_files(experiment, question.run):
                display.note(f"{key} is not the file this run had: what it holds differs")
        values = evaluate_split(trial, split, display, question.steps)
    refuse_measured(values, split, trial)
    run = relative_to_cwd(question.run) if question.run is not None else None
    facts: dict[str, Any] = {"examples": examples}
    if restored is not None:
        facts |= {"weights": question.weights, "checkpoint": restored.checkpoint}
    return Result(run, split, values, facts)


def prepare_runtime(experiment: Experiment) -> Runtime:
    """Choose the device and seed everything, then import the plugins, which may start TensorFlow.

    What plugins draw as they are imported follows the seed; what is drawn later does not depend
    on it.

    Raises:
        DeviceError: A device is missing.
        ConfigError: A plugin does not import.
    """
    execution = experiment.execution
    prepared = runtime.prepare(
        device=execution.device,
        precision=execution.precision,
        deterministic=execution.deterministic,
        seed=experiment.seed,
        threads=execution.threads,
        strategy=execution.strategy,
        virtual_devices=execution.virtual_devices,
    )
    if experiment.plugins:
        plugins.load(experiment)
        keras.utils.set_random_seed(experiment.seed)
    return prepared


@contextmanager
def shown(display: Display, plan: Plan) -> Iterator[None]:
    """Show a plan and what follows, and give the terminal back whatever happens."""
    try:
        display.begin(plan)
        yield
    finally:
        display.end()


def evaluate_split(
    trial: Trial,
    split: str,
    display: Display,
    limit: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Run the step's `test_step` over a split and return the values it logs, in its order.

    Args:
        trial: The step with its networks and data.
        split: Name of the split.
        display: Told of every batch.
        limit: Batches at most; None for all.
        check: Called after every batch; ends the evaluation by raising.
    """
    steps = trial.data.steps(split)
    steps = min(steps, limit) if limit else steps
    batches = evaluation_feed(trial, split, steps)
    told = user_errors(trial.experiment, lambda: f"test_step on the {split} split")
    with told, Stage(f"preparing to measure the {split} split") as stage:
        watch = _Watch(display, steps, check, stage)
        values = trial.step.evaluate(
            batches, steps=steps, callbacks=[watch], verbose=0, return_dict=True
        )
    order = trial.step.logs["test"].names or ()
    return {name: float(values[name]) for name in order}


class _Watch(keras.callbacks.Callback):
    """Tells the display of every batch; the first ends the stage before it."""

    def __init__(
        self, display: Display, steps: int, check: Callable[[], None], before: Stage
    ) -> None:
        super().__init__()
        self.display, self.steps, self.check, self.before = display, steps, check, before

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.before.end()
        self.display.validation_step(batch + 1, self.steps)
        self.check()


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


def _plan(trial: Trial, question: Question, device: Runtime, data: str) -> Plan:
    run = str(relative_to_cwd(question.run)) if question.run is not None else ""
    # Nothing is trained, whatever optimizers are built.
    untrained = replace(trial, experiment=replace(trial.experiment, optimizers={}))
    summary = run_record.summary(untrained, data)
    return Plan(trial.experiment.name, run, device.description, 0, 0, summary)


def _split(trial: Trial, wanted: str | None) -> str:
    splits = trial.data.splits
    if wanted is None:
        return next(s for s in ("test", "validation", "train") if s in splits)
    if wanted not in splits:
        name = trial.experiment.data.name
        hint = " Set data.validation_split." if wanted == "validation" else ""
        text = f"the data '{name}' has no {wanted} split; it has {', '.join(splits)}.{hint}"
        raise UsageError(text)
    return wanted


def _examples(trial: Trial, split: str, limit: int | None) -> int:
    rows = len(trial.data.splits[split])
    return min(rows, limit * trial.data.batch_size) if limit else rows


def _same_data(trial: Trial, run: Path, split: str) -> bool:
    known = record.load(run)["data"].get(split)
    with Stage(f"hashing the {split} split"):
        return bool(known == run_record.split_fingerprint(trial.data.splits[split]))


def _other_files(experiment: Experiment, run: Path) -> list[str]:
    """Return the keys whose files are there and hold something else than when a run began."""
    known = record.load(run)["files"]
    now = fingerprints(input_files(experiment))
    return [key for key in now if key in known and now[key] != known[key]]
