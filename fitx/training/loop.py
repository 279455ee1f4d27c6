"""One run from where it stands to its end: train, keep the networks, test, sum up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fitx.build import inexactness
from fitx.build.built import BuiltExperiment
from fitx.build.csv_columns import with_columns
from fitx.build.error_attribution import user_errors
from fitx.build.make import make_callbacks
from fitx.build.step_feeds import evaluation_feed, training_feed
from fitx.errors import Diverged, FitxError
from fitx.rundir.journal import Journal
from fitx.stages import Stage
from fitx.training import custom_objects, summary, unapplied_gradients
from fitx.training.checkpointing import CheckpointSaver
from fitx.training.evaluation import evaluate_split
from fitx.training.export import save_networks
from fitx.training.monitor import RunMonitor, ValidationStart
from fitx.training.nan_search.search import Failure, explained, refuse_measured
from fitx.training.progress import Display
from fitx.training.result import Result
from fitx.training.resumption.experiment_values import callback_options
from fitx.training.signals import StopRequest
from fitx.training.state import callback_state
from fitx.training.state.best_epoch import BestEpochTracker
from fitx.training.state.run_state import RunState
from fitx.training.state.snapshot import Snapshot
from fitx.training.state.variables import capture
from fitx.training.zip_dates import dates_within_range


@dataclass(frozen=True)
class TrainingContext:
    """One run while it goes on.

    Args:
        built: What is trained.
        run: Its folder.
        journal: Its metrics.jsonl.
        saver: Writes its checkpoints.
        display: Who watches.
        stop: Whether it is asked to stop.
        test_steps: Batches of the test at most; None for all.
        earlier: The state it goes on from; None for a new run.
    """

    built: BuiltExperiment
    run: Path
    journal: Journal
    saver: CheckpointSaver
    display: Display
    stop: StopRequest
    test_steps: int | None = None
    earlier: Snapshot | None = None


@dates_within_range()
def run_training(work: TrainingContext) -> Result:
    """Bring a run to its end and return its final values."""
    began = time.perf_counter()
    built = work.built
    with user_errors(built.experiment):
        callbacks = make_callbacks(built.experiment, work.run)
        experiment = built.experiment
        options = callback_options(experiment)
        state = RunState(built.step, callbacks, BestEpochTracker(experiment.checkpoint), options)
        run_monitor = RunMonitor(work.display, work.journal, work.saver, state, work.stop, built)
        if work.earlier is not None:
            run_monitor.resume_from(work.earlier)
            for name in state.reset_callbacks(work.earlier):
                key = f"callbacks.{list(state.callbacks).index(name)}"
                text = "it begins anew, as the checkpoint has no callback with the same options"
                work.display.note(f"{key} ({type(state.callbacks[name]).__name__}): {text}")
            callback_state.append_to_files(callbacks)
        for text in custom_objects.notes(experiment, built.step):
            work.display.note(text)
        _stop_if_asked(run_monitor)
        try:
            if built.experiment.fit.epochs:
                with (
                    user_errors(built.experiment, run_monitor.running),
                    run_monitor.first_steps.told(),
                ):
                    _fit(work, run_monitor)
            work.saver.save(run_monitor.snapshot)
            work.saver.save_final_weights(capture(state.model))
        except Diverged as error:
            raise explained(_failure(error, work, run_monitor)) from None
        with Stage("saving the networks"):
            save_networks(built.step, work.run / "networks", state.best.epoch)
        tested = _test(work, run_monitor) if "test" in built.data.splits else {}
    values = {**run_monitor.values, **tested}
    refuse_measured(tested, "test", built)
    return summary.write(work.run, built, run_monitor, values, time.perf_counter() - began)


def _failure(error: Diverged, work: TrainingContext, run_monitor: RunMonitor) -> Failure:
    """Return what the search for the cause of an error needs; waits for the newest checkpoint."""
    with suppress(FitxError):
        work.saver.wait()
    return Failure(
        error,
        work.built,
        variables=run_monitor.state.variables,
        log=run_monitor.replay_log,
        step=run_monitor.at.step,
        run=work.run,
        note=work.display.note,
        stopped_by=lambda: work.stop.name if work.stop.number else "",
    )


def _fit(work: TrainingContext, run_monitor: RunMonitor) -> None:
    built, fit, at = work.built, work.built.experiment.fit, run_monitor.at
    has_validation = "validation" in built.data.splits
    own = run_monitor.state.callbacks.values()
    for text in _warnings(built, run_monitor):
        work.display.note(text)
    built.step.fit(
        training_feed(built, at.batches(built.steps_per_epoch)),
        initial_epoch=at.epoch,
        epochs=at.epoch if at.stopping and not at.epoch_steps else fit.epochs,
        steps_per_epoch=built.steps_per_epoch,
        # A callback that has asked to stop within an epoch has ended that.
        skip_steps=built.steps_per_epoch if at.stopping and at.epoch_steps else at.epoch_steps,
        steps_until_due=run_monitor.steps_until_due,
        validation_data=evaluation_feed(built, "validation") if has_validation else None,
        validation_steps=built.evaluation_steps("validation") if has_validation else None,
        validation_freq=fit.validation_freq,
        callbacks=[ValidationStart(run_monitor), *with_columns(own, built), run_monitor],
        verbose=0,
        # The batches come in their own order; Keras warns if it is left to think otherwise.
        shuffle=False,
    )
    if run_monitor.at.epoch < fit.epochs:
        text = f"stopped early: a callback ended the run after epoch {run_monitor.at.epoch}"
        work.display.note(text)
    for text in unapplied_gradients.notes(built.step):
        work.display.note(text)


def _warnings(built: BuiltExperiment, run_monitor: RunMonitor) -> Iterator[str]:
    """Say what would keep a resumed run from going on exactly."""
    for name, callback in run_monitor.state.callbacks.items():
        if callback_state.loses_state(callback):
            yield (
                f"callback {name}: it has no get_state and set_state, so what it remembers is lost "
                "when the run is resumed"
            )
    yield from inexactness.unsaved(built)


def _test(work: TrainingContext, run_monitor: RunMonitor) -> dict[str, float]:
    """Measure the final networks on the test split."""
    values = evaluate_split(
        work.built, "test", work.display, work.test_steps, lambda: _stop_if_asked(run_monitor)
    )
    return {f"test_{name}": value for name, value in values.items()}


def _stop_if_asked(run_monitor: RunMonitor) -> None:
    if run_monitor.stop.number:
        run_monitor.interrupt()
