"""One run from where it stands to its end: train, keep the networks, test, sum up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fitx.build.built import Trial
from fitx.build.csv_columns import with_columns
from fitx.build.error_attribution import user_errors
from fitx.build.make import make_callbacks
from fitx.build.step_feeds import evaluation_feed, training_feed
from fitx.commands.evaluate import evaluate_split
from fitx.errors import Diverged
from fitx.rundir.journal import Journal
from fitx.stages import Stage
from fitx.training import custom_objects, summary, unapplied_gradients
from fitx.training.checkpointing import Saver
from fitx.training.export import save_networks
from fitx.training.monitor import Observer, Opening
from fitx.training.nan_search.search import explained, refuse_measured
from fitx.training.progress import Display
from fitx.training.result import Result
from fitx.training.resumption.experiment_values import callback_options
from fitx.training.signals import StopRequest
from fitx.training.state import callback_state
from fitx.training.state.best_epoch import Best
from fitx.training.state.snapshot import RunState, Snapshot
from fitx.training.state.variables import capture
from fitx.training.zip_dates import dates_within_range


@dataclass(frozen=True)
class Work:
    """One run while it goes on.

    Args:
        trial: What is trained.
        run: Its folder.
        journal: Its metrics.jsonl.
        saver: Writes its checkpoints.
        display: Who watches.
        stop: Whether it is asked to stop.
        test_steps: Batches of the test at most; None for all.
        earlier: The state it goes on from; None for a new run.
    """

    trial: Trial
    run: Path
    journal: Journal
    saver: Saver
    display: Display
    stop: StopRequest
    test_steps: int | None = None
    earlier: Snapshot | None = None


@dates_within_range()
def carry_out(work: Work) -> Result:
    """Bring a run to its end and return its final values."""
    began = time.perf_counter()
    trial = work.trial
    with user_errors(trial.experiment):
        callbacks = make_callbacks(trial.experiment, work.run)
        experiment = trial.experiment
        options = callback_options(experiment)
        state = RunState(trial.step, callbacks, Best(experiment.checkpoint), options)
        observer = Observer(work.display, work.journal, work.saver, state, work.stop, trial)
        if work.earlier is not None:
            observer.go_on(work.earlier)
            for name in state.beginning_anew(work.earlier):
                key = f"callbacks.{list(state.callbacks).index(name)}"
                text = "it begins anew, as the checkpoint has no callback with the same options"
                work.display.note(f"{key} ({type(state.callbacks[name]).__name__}): {text}")
            callback_state.keep_files(callbacks)
        for text in custom_objects.notes(experiment, trial.step):
            work.display.note(text)
        _stop_if_asked(observer)
        try:
            if trial.experiment.fit.epochs:
                with user_errors(trial.experiment, observer.running), observer.first_steps.told():
                    _fit(work, observer)
            work.saver.save(observer.snapshot)
            work.saver.finish(capture(state.model))
        except Diverged as error:
            raise explained(error, trial, observer) from None
        with Stage("saving the networks"):
            save_networks(trial.step, work.run / "networks", state.best.epoch)
        tested = _test(work, observer) if "test" in trial.data.splits else {}
    values = {**observer.values, **tested}
    refuse_measured(tested, "test", trial)
    return summary.write(work.run, trial, observer, values, time.perf_counter() - began)


def _fit(work: Work, observer: Observer) -> None:
    trial, fit, at = work.trial, work.trial.experiment.fit, observer.at
    has_validation = "validation" in trial.data.splits
    own = observer.state.callbacks.values()
    for text in _warnings(trial, observer):
        work.display.note(text)
    trial.step.fit(
        training_feed(trial, at.batches(trial.steps_per_epoch)),
        initial_epoch=at.epoch,
        epochs=at.epoch if at.stopping and not at.passed else fit.epochs,
        steps_per_epoch=trial.steps_per_epoch,
        # A callback that has asked to stop within an epoch has ended that.
        steps_passed=trial.steps_per_epoch if at.stopping and at.passed else at.passed,
        steps_until_due=observer.steps_until_due,
        validation_data=evaluation_feed(trial, "validation") if has_validation else None,
        validation_steps=trial.evaluation_steps("validation") if has_validation else None,
        validation_freq=fit.validation_freq,
        callbacks=[Opening(observer), *with_columns(own, trial), observer],
        verbose=0,
        # The batches come in their own order; Keras warns if it is left to think otherwise.
        shuffle=False,
    )
    if observer.at.epoch < fit.epochs:
        text = f"stopped early: a callback ended the run after epoch {observer.at.epoch}"
        work.display.note(text)
    for text in unapplied_gradients.notes(trial.step):
        work.display.note(text)


def _warnings(trial: Trial, observer: Observer) -> Iterator[str]:
    """Say what would keep a resumed run from going on exactly."""
    for name, callback in observer.state.callbacks.items():
        if callback_state.is_forgetful(callback):
            yield (
                f"callback {name}: it has no get_state and set_state, so what it remembers is lost "
                "when the run is resumed"
            )
    yield from inexactness.unsaved(trial)


def _test(work: Work, observer: Observer) -> dict[str, float]:
    """Measure the final networks on the test split."""
    values = evaluate_split(
        work.trial, "test", work.display, work.test_steps, lambda: _stop_if_asked(observer)
    )
    return {f"test_{name}": value for name, value in values.items()}


def _stop_if_asked(observer: Observer) -> None:
    if observer.stop.number:
        observer.interrupt()
