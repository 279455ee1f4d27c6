"""Train an experiment: make everything, call `fit`, leave a run folder that can be trusted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fitx import runtime
from fitx.build import agreement
from fitx.build.blame import user_errors
from fitx.build.make import make, make_callbacks
from fitx.build.trial import Trial
from fitx.data.feed import evaluation_batches, training_batches
from fitx.errors import Diverged, FitxError, Interrupted
from fitx.experiment.experiment import Experiment
from fitx.run import describe, expectations
from fitx.run.best import Best
from fitx.run.display import Display
from fitx.run.evaluate import evaluate_split
from fitx.run.networks import save_networks
from fitx.run.observer import Observer, refuse_divergence, relative_to_cwd
from fitx.run.result import Result
from fitx.run.saver import Saver
from fitx.run.signals import listening
from fitx.rundir import folder
from fitx.rundir.environment import start_git
from fitx.rundir.files import write_json
from fitx.rundir.journal import Journal
from fitx.rundir.lock import hold
from fitx.rundir.record import Record
from fitx.runtime import Runtime

SMOKE_STEPS = 2


@dataclass(frozen=True)
class Order:
    """How the user asked for a run: where to put it, the words typed, whether only to try it."""

    out: Path
    command: tuple[str, ...] = ()
    smoke: bool = False


def train(experiment: Experiment, order: Order, display: Display) -> Result:
    """Train an experiment from its beginning and return its final values.

    Raises:
        ConfigError: Nothing is to be trained, or the parts do not fit together.
        DataError, DeviceError, UserCodeError, StorageError: As their names say.
        Diverged: A logged value is NaN or infinite; the run folder keeps what was logged.
        ExpectationError: The run finished and missed what `expect:` asks for.
        Interrupted: A signal stopped the run; its state is on disk.
    """
    git = start_git(Path.cwd())
    if not experiment.optimizers:
        text = "missing; a network without an optimizer is frozen, so nothing would be trained."
        raise experiment.error(("optimizer",), text)
    experiment = shortened(experiment) if order.smoke else experiment
    device = prepare_runtime(experiment)
    trial = make(experiment)
    agreement.trace(trial, _traced_splits(trial))
    agreement.check_names(trial)
    run = folder.create(order.out, experiment.name)
    with hold(run):
        record = describe.write(run, trial, device, command=order.command, git=git)
        with _recorded(record):
            return _train(trial, run, record, device, display, smoke=order.smoke)


def shortened(experiment: Experiment) -> Experiment:
    """Return the experiment cut to two steps of everything, under a name of its own."""
    steps = {"epochs": 1, "steps_per_epoch": SMOKE_STEPS, "validation_steps": SMOKE_STEPS}
    fit = experiment.fit.model_copy(update={**steps, "validation_freq": 1})
    return replace(experiment, fit=fit, name=f"{experiment.name}-smoke", expect={})


def prepare_runtime(experiment: Experiment) -> Runtime:
    """Choose the device and seed everything, before a Keras object exists."""
    execution = experiment.execution
    return runtime.prepare(
        device=execution.device,
        precision=execution.precision,
        deterministic=execution.deterministic,
        seed=experiment.seed,
    )


def _train(
    trial: Trial, run: Path, record: Record, device: Runtime, display: Display, *, smoke: bool
) -> Result:
    began = time.perf_counter()
    best = Best(trial.experiment.checkpoint)
    saver = Saver(run / "checkpoints", trial.step, trial.experiment.checkpoint, best)
    journal = Journal(run)
    try:
        display.begin(describe.plan(trial, run, device))
        with listening() as stop, user_errors(trial.experiment):
            observer = Observer(display, journal, saver, best, stop)
            _fit(trial, run, observer)
            saver.save(observer.done, observer.about)
            _note_early_stop(trial, observer, display)
            save_networks(trial.step, run / "networks", best.epoch)
            tested = _tested(trial, display, SMOKE_STEPS if smoke else None)
    finally:
        display.end()
        journal.close()
    return _finish(trial, run, record, observer, tested, time.perf_counter() - began)


def _fit(trial: Trial, run: Path, observer: Observer) -> None:
    fit = trial.experiment.fit
    if not fit.epochs:
        return
    has_validation = "validation" in trial.data.splits
    validation = _batches(trial, "validation") if has_validation else None
    trial.step.fit(
        training_batches(trial.data),
        epochs=fit.epochs,
        steps_per_epoch=trial.steps_per_epoch,
        validation_data=validation,
        validation_steps=trial.evaluation_steps("validation") if has_validation else None,
        validation_freq=fit.validation_freq,
        callbacks=[*make_callbacks(trial.experiment, run / "samples"), observer],
        verbose=0,
        # The batches come in their own order; Keras warns if it is left to think otherwise.
        shuffle=False,
    )


def _batches(trial: Trial, split: str) -> Any:
    steps = trial.evaluation_steps(split)
    return evaluation_batches(trial.data.splits[split], trial.data.batch_size, steps)


def _note_early_stop(trial: Trial, observer: Observer, display: Display) -> None:
    epochs = trial.experiment.fit.epochs
    if observer.epoch < epochs:
        display.note(f"stopped early: a callback ended the run after epoch {observer.epoch}")


def _tested(trial: Trial, display: Display, limit: int | None) -> dict[str, float] | None:
    """Measure the final networks on the test split, if there is one."""
    if "test" not in trial.data.splits:
        return None
    return evaluate_split(trial, "test", display, limit)


def _finish(
    trial: Trial,
    run: Path,
    record: Record,
    observer: Observer,
    tested: dict[str, float] | None,
    seconds: float,
) -> Result:
    values = {**observer.values, **{f"test_{k}": v for k, v in (tested or {}).items()}}
    trained = bool(trial.experiment.fit.epochs)
    judged = expectations.judge(trial.experiment.expect if trained else {}, values)
    examples = observer.done * trial.data.batch_size
    best = observer.best.epoch
    facts: dict[str, Any] = {
        "status": "finished",
        "epochs": observer.epoch,
        "steps": observer.done,
        "seconds": round(seconds, 3),
        "examples_per_second": round(examples / observer.seconds, 1) if observer.seconds else None,
        "best": best.plain() if best is not None else None,
        "expect": judged,
    }
    last = observer.saver.last.name if observer.saver.last else None
    write_json(run / "summary.json", {"metrics": values, **facts})
    record.update(status="finished", last=last, best=facts["best"])
    refuse_divergence(values, "on the test split")
    expectations.demand(judged)
    splits = trial.data.splits
    split = next((s for s in ("test", "validation", "train") if s in splits), None)
    return Result(Path(relative_to_cwd(run)), split, values, facts)


def _traced_splits(trial: Trial) -> tuple[str, ...]:
    """Return the splits whose shapes the step is traced on: train, and one to evaluate."""
    train = ("train",) if trial.experiment.fit.epochs else ()
    return (*train, *[s for s in ("validation", "test") if s in trial.data.splits][:1])


@contextmanager
def _recorded(record: Record) -> Iterator[None]:
    """Write into run.json how a run ended, whatever ended it."""
    try:
        yield
    except Interrupted as error:
        record.update(status="interrupted", error=str(error))
        raise
    except Diverged as error:
        record.update(status="diverged", error=str(error))
        raise
    except FitxError as error:
        if record.facts["status"] == "running":
            record.update(status="failed", error=str(error))
        raise
    except BaseException as error:
        record.update(status="failed", error=f"{type(error).__name__}: {error}")
        raise
