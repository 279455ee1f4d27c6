"""Train an experiment: make everything, call `fit`, leave a run folder that can be trusted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fitx.build import agreement
from fitx.build.blame import user_errors
from fitx.build.feed import evaluation_feed, training_feed
from fitx.build.make import make, make_callbacks
from fitx.build.mode import Work, settle
from fitx.build.trial import Trial
from fitx.errors import Diverged, FitxError, Interrupted, StorageError, WorkerLost
from fitx.experiment.experiment import Experiment
from fitx.run import describe, leftover, summary
from fitx.run.best import Best
from fitx.run.display import Display
from fitx.run.evaluate import evaluate_split, prepare_runtime, shown
from fitx.run.networks import refuse_unsavable, save_networks
from fitx.run.observer import Observer, refuse_divergence
from fitx.run.order import SMOKE_STEPS, Order, demand_training, origin, shortened
from fitx.run.result import Result, relative_to_cwd
from fitx.run.saver import Saver
from fitx.run.signals import StopRequest, listening
from fitx.rundir import folder
from fitx.rundir.journal import Journal
from fitx.rundir.lock import hold
from fitx.rundir.record import Record
from fitx.runtime import Runtime

STATUSES: dict[type[BaseException], str] = {
    Diverged: "diverged",
    Interrupted: "interrupted",
    KeyboardInterrupt: "interrupted",
}
"""What run.json calls a run that ended by an error of this kind; `failed` for any other."""


@dataclass(frozen=True)
class _Work:
    """One run while it goes on."""

    trial: Trial
    run: Path
    saver: Saver
    display: Display
    stop: StopRequest
    test_steps: int | None


def train(experiment: Experiment, order: Order, display: Display) -> Result:
    """Train an experiment from its beginning and return its final values.

    Raises:
        ConfigError: Nothing is to be trained, or the parts do not fit together.
        DataError, DeviceError, UserCodeError, StorageError: As their names say.
        Diverged: A logged value is NaN or infinite; the run folder keeps what was logged.
        Interrupted: A signal stopped the run; its state is on disk.
    """
    demand_training(experiment, smoke=order.smoke)
    given = order.origin or origin(experiment)
    experiment = shortened(experiment) if order.smoke else experiment
    device = prepare_runtime(experiment)
    trial = _ready(experiment, device)
    data = describe.fingerprint(trial.data)
    with listening() as stop:
        run = folder.create(order.out, experiment.name)
        with _located(run), hold(run):
            record = describe.write(run, trial, device, given, data)
            saver = Saver(
                run / "checkpoints",
                trial.step,
                experiment.checkpoint,
                Best(experiment.checkpoint),
            )
            # The chief stops for all workers, with a checkpoint; the others end when it has gone.
            asked = stop if device.is_chief else StopRequest()
            work = _Work(trial, run, saver, display, asked, SMOKE_STEPS if order.smoke else None)
            plan = describe.plan(trial, run, device)
            with _recorded(record, saver), _ended_together(stop), shown(display, plan):
                return _train(work)


def _ready(experiment: Experiment, device: Runtime) -> Trial:
    """Make everything and find out whether it fits together, before a run folder exists."""
    trial = make(experiment)
    trial.step.execution.device = device.device
    splits = _traced_splits(trial)
    agreement.trace(trial, splits)
    agreement.check_names(trial)
    for split in splits:
        kind = "train" if split == "train" else "test"
        settle(Work(trial, kind, _steps(trial, kind), device.kind))
    if experiment.plugins:
        refuse_unsavable(trial.step)
    return trial


def _steps(trial: Trial, kind: str) -> int:
    """Return how many steps of training, or of all validations and the test, are to run."""
    if kind == "train":
        return trial.total_steps
    fit, splits = trial.experiment.fit, trial.data.splits
    passes = {"validation": fit.epochs // fit.validation_freq, "test": 1}
    return sum(passes[s] * trial.evaluation_steps(s) for s in passes if s in splits)


def _traced_splits(trial: Trial) -> tuple[str, ...]:
    """Return the splits whose shapes the step is traced on: train, and one to evaluate."""
    train = ("train",) if trial.experiment.fit.epochs else ()
    return (*train, *[s for s in ("validation", "test") if s in trial.data.splits][:1])


def _train(work: _Work) -> Result:
    began = time.perf_counter()
    trial = work.trial
    steps = trial.evaluation_steps("validation") if "validation" in trial.data.splits else 0
    with closing(Journal(work.run)) as journal, user_errors(trial.experiment):
        observer = Observer(work.display, journal, work.saver, work.stop, steps)
        if work.stop.number:
            observer.interrupt()
        if trial.experiment.fit.epochs:
            _fit(work, observer)
        work.saver.save(observer.done, observer.about)
        work.saver.finish(observer.done)
        save_networks(trial.step, work.run / "networks", work.saver.best.epoch)
        tested = _test(work, observer) if "test" in trial.data.splits else {}
    values = {**observer.values, **tested}
    refuse_divergence(tested, "on the test split")
    return summary.write(work.run, trial, observer, values, time.perf_counter() - began)


def _fit(work: _Work, observer: Observer) -> None:
    trial, fit = work.trial, work.trial.experiment.fit
    has_validation = "validation" in trial.data.splits
    trial.step.execution.limit = observer.steps_until_due
    trial.step.fit(
        training_feed(trial),
        epochs=fit.epochs,
        steps_per_epoch=trial.steps_per_epoch,
        validation_data=evaluation_feed(trial, "validation") if has_validation else None,
        validation_steps=trial.evaluation_steps("validation") if has_validation else None,
        validation_freq=fit.validation_freq,
        callbacks=[*make_callbacks(trial.experiment, work.run / "samples"), observer],
        verbose=0,
        # The batches come in their own order; Keras warns if it is left to think otherwise.
        shuffle=False,
    )
    if observer.epoch < fit.epochs:
        text = f"stopped early: a callback ended the run after epoch {observer.epoch}"
        work.display.note(text)
    for text in leftover.notes(trial.step):
        work.display.note(text)


def _test(work: _Work, observer: Observer) -> dict[str, float]:
    """Measure the final networks on the test split."""

    def stop_if_asked() -> None:
        if work.stop.number:
            observer.interrupt()

    values = evaluate_split(work.trial, "test", work.display, work.test_steps, stop_if_asked)
    return {f"test_{name}": value for name, value in values.items()}


@contextmanager
def _recorded(record: Record, saver: Saver) -> Iterator[None]:
    """Write into run.json how a run ended, whatever ended it."""
    try:
        yield
        record.update(status="finished", **_kept(saver))
    except BaseException as error:
        status = STATUSES.get(type(error), "failed")
        own = isinstance(error, FitxError)
        text = str(error) if own else f"{type(error).__name__}: {error}"
        try:
            record.update(status=status, error=text, **_kept(saver))
        except StorageError as second:
            # What ended the run is what the user must hear of, and its exit code counts.
            error.add_note(str(second))
        raise


@contextmanager
def _ended_together(stop: StopRequest) -> Iterator[None]:
    """Take the loss of another worker for what it is after a signal: the end of all."""
    try:
        yield
    except WorkerLost as error:
        if stop.number:
            raise Interrupted(f"stopped by {stop.name}.", stop.number) from error
        raise


def _kept(saver: Saver) -> dict[str, object]:
    """Return the checkpoint that is left, and the best epoch whose networks it holds."""
    return {"last": saver.last.name if saver.last else None, "best": saver.last_best}


@contextmanager
def _located(run: Path) -> Iterator[None]:
    """Let errors say in which run folder they happened."""
    try:
        yield
    except FitxError as error:
        error.run = str(relative_to_cwd(run))
        raise
