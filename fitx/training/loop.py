"""Trains a built experiment, saves its networks, tests it and writes summary.json."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fitx.build.built import BuiltExperiment
from fitx.build.callback_parts import make_callbacks, with_columns
from fitx.build.error_attribution import user_errors
from fitx.build.operation_reports import inexact_operations
from fitx.build.step_feeds import evaluation_feed, training_feed
from fitx.compat.gradient_accumulation import unapplied
from fitx.errors import Diverged, FitxError
from fitx.rundir.journal import Journal
from fitx.stages import Stage
from fitx.step import Step
from fitx.training.checkpointing import CheckpointSaver
from fitx.training.display_interface import Display
from fitx.training.evaluation import evaluate_split
from fitx.training.export import (
    custom_object_notes,
    dates_within_range,
    save_networks,
    unsaved_notes,
)
from fitx.training.monitor import RunMonitor, ValidationStart
from fitx.training.nan_search.search import Failure, explained, refuse_measured
from fitx.training.result import Result
from fitx.training.resumption.experiment_values import callback_options
from fitx.training.run_record import write_summary
from fitx.training.signals import StopRequest
from fitx.training.state import callback_state
from fitx.training.state.best_epoch import BestEpochTracker
from fitx.training.state.run_state import RunState
from fitx.training.state.snapshot import Snapshot
from fitx.training.state.variables import capture


@dataclass(frozen=True)
class TrainingContext:
    """Everything that one training needs.

    Args:
        built: The built and traced experiment.
        run: The run folder.
        journal: Its metrics.jsonl.
        saver: Writes its checkpoints.
        display: Shows its progress.
        stop: Tells whether a signal asked it to stop.
        test_steps: The most batches of the test; None for all.
        snapshot: The state that it continues from; None for a new run.
    """

    built: BuiltExperiment
    run: Path
    journal: Journal
    saver: CheckpointSaver
    display: Display
    stop: StopRequest
    test_steps: int | None = None
    snapshot: Snapshot | None = None


@dates_within_range()
def run_training(context: TrainingContext) -> Result:
    """Train to the end and return the final values; see `TrainingContext`."""
    began = time.perf_counter()
    built = context.built
    with user_errors(built.experiment):
        run_monitor = _make_monitor(context)
        for text in (
            *unsaved_notes(built.step),
            *custom_object_notes(built.experiment, built.step),
        ):
            context.display.note(text)
        _stop_if_asked(run_monitor)
        try:
            if built.experiment.fit.epochs:
                with (
                    user_errors(built.experiment, run_monitor.running),
                    run_monitor.first_steps.waiting(),
                ):
                    _fit(context, run_monitor)
            context.saver.save(run_monitor.snapshot)
            context.saver.save_final_weights(capture(run_monitor.state.model))
        except Diverged as error:
            raise explained(_failure(error, context, run_monitor)) from None
        with Stage("saving the networks"):
            save_networks(built.step, context.run / "networks", run_monitor.state.best.epoch)
        test_values = _test(context, run_monitor) if "test" in built.data.splits else {}
    values = {**run_monitor.values, **test_values}
    refuse_measured(test_values, "test", built)
    return write_summary(context.run, built, run_monitor, values, time.perf_counter() - began)


def _failure(error: Diverged, context: TrainingContext, run_monitor: RunMonitor) -> Failure:
    """Return what the search for the cause of an error needs; waits for the newest checkpoint."""
    with suppress(FitxError):
        context.saver.wait()
    return Failure(
        error,
        context.built,
        variables=run_monitor.state.variables,
        log=run_monitor.replay_log,
        step=run_monitor.at.step,
        run=context.run,
        note=context.display.note,
        stopped_by=lambda: context.stop.name if context.stop.number else "",
    )


def _make_monitor(context: TrainingContext) -> RunMonitor:
    """Make the callbacks and the monitor of a training, which knows where to continue."""
    built, experiment = context.built, context.built.experiment
    callbacks = make_callbacks(experiment, context.run, built.data.splits)
    best, options = BestEpochTracker(experiment.checkpoint), callback_options(experiment)
    state = RunState(built.step, callbacks, best, options)
    display, journal, saver = context.display, context.journal, context.saver
    run_monitor = RunMonitor(display, journal, saver, state, context.stop, built)
    if context.snapshot is not None:
        run_monitor.resume_from(context.snapshot)
        for name in state.reset_callbacks(context.snapshot):
            key = f"callbacks.{list(state.callbacks).index(name)}"
            text = "it is reset, as the checkpoint has no callback with the same options"
            display.note(f"{key} ({type(state.callbacks[name]).__name__}): {text}")
        callback_state.append_to_files(callbacks)
    return run_monitor


def _fit(context: TrainingContext, run_monitor: RunMonitor) -> None:
    built, fit, at = context.built, context.built.experiment.fit, run_monitor.at
    has_validation = "validation" in built.data.splits
    callbacks = run_monitor.state.callbacks.values()
    for text in _resume_warnings(built, run_monitor):
        context.display.note(text)
    built.step.fit(
        training_feed(built, at.batches(built.steps_per_epoch)),
        initial_epoch=at.epoch,
        epochs=at.epoch if at.stopping and not at.epoch_steps else fit.epochs,
        steps_per_epoch=built.steps_per_epoch,
        # A callback that asked to stop within an epoch has ended that epoch.
        skip_steps=built.steps_per_epoch if at.stopping and at.epoch_steps else at.epoch_steps,
        steps_until_due=run_monitor.steps_until_due,
        validation_data=evaluation_feed(built, "validation") if has_validation else None,
        validation_steps=built.evaluation_steps("validation") if has_validation else None,
        validation_freq=fit.validation_freq,
        callbacks=[ValidationStart(run_monitor), *with_columns(callbacks, built), run_monitor],
        verbose=0,
        # Keras would warn that it cannot shuffle these batches.
        shuffle=False,
    )
    if run_monitor.at.epoch < fit.epochs:
        text = f"stopped early: a callback ended the run after epoch {run_monitor.at.epoch}"
        context.display.note(text)
    for text in _unapplied_gradients(built.step):
        context.display.note(text)


def _resume_warnings(built: BuiltExperiment, run_monitor: RunMonitor) -> Iterator[str]:
    """Yield a note on everything that would make a resumed run inexact."""
    for name, callback in run_monitor.state.callbacks.items():
        if callback_state.loses_state(callback):
            yield (
                f"callback {name}: it has no get_state and set_state, so its state is lost on "
                "resume"
            )
    yield from inexact_operations(built)


def _test(context: TrainingContext, run_monitor: RunMonitor) -> dict[str, float]:
    """Evaluate the final networks on the test split."""
    values = evaluate_split(
        context.built,
        "test",
        context.display,
        context.test_steps,
        lambda: _stop_if_asked(run_monitor),
    )
    return {f"test_{name}": value for name, value in values.items()}


def _stop_if_asked(run_monitor: RunMonitor) -> None:
    if run_monitor.stop.number:
        run_monitor.interrupt()


def _unapplied_gradients(step: Step) -> Iterator[str]:
    """Yield a note on each optimizer whose last accumulated gradients were not applied.

    Keras applies them after every `gradient_accumulation_steps` steps and keeps accumulating from
    one epoch to the next; at the end of the training some may be left.
    """
    for name, optimizer in step.execution.contents.optimizers.items():
        unapplied_steps = unapplied(optimizer)
        if unapplied_steps:
            size = getattr(optimizer, "inner_optimizer", optimizer).gradient_accumulation_steps
            steps = "step" if unapplied_steps == 1 else f"{unapplied_steps} steps"
            yield (
                f"optimizer '{name}': the gradients of the last {steps} were not applied, because "
                f"the training ended before gradient_accumulation_steps ({size}) were complete"
            )
