"""Time the ways to train an experiment side by side, and say where the time goes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

from fitx.build.built import BuiltExperiment
from fitx.build.error_attribution import first_line, user_errors
from fitx.build.execution_setup import ModeInputs, Task, prepare_execution
from fitx.build.make import make
from fitx.commands.benchmark.shares import Shares, measured
from fitx.commands.benchmark.table import Comparison, Row
from fitx.commands.benchmark.ways import STOCK, Fitx, Stock, Way, another, shortened
from fitx.engine.modes.auto import is_sensible
from fitx.engine.modes.modes import MODES
from fitx.errors import FitxError, Interrupted
from fitx.experiment.experiment import Experiment
from fitx.runtime import Runtime
from fitx.stages import Stage
from fitx.training import run_record
from fitx.training.progress import Display, Plan
from fitx.training.setup import prepare_runtime, showing
from fitx.training.signals import StopRequest, listening
from fitx.training.train_request import demand_training

AT_ONCE = 100
"""Steps that stock Keras runs in one call where it is asked to run several."""

ROUND_SECONDS = 0.4
"""That a way is timed for at a time, if two of its epochs do not take longer."""

MOST_EPOCHS = 50
"""That a way is timed for at a time."""

TOO_SLOW = "left out: XLA can take minutes to compile and run convolutions in a loop on a CPU"


def bench(experiment: Experiment, display: Display, rounds: int = 5) -> Comparison:
    """Time stock Keras and every mode of fitx on an experiment; nothing is kept.

    Args:
        experiment: What is to be trained.
        display: Told of every way that has started.
        rounds: In each of which every way is timed once, so that a machine whose speed drifts
            slows them all.

    Raises:
        ConfigError: Nothing is trained, several devices are asked for, or the parts do not fit.
        DataError, DeviceError, UserCodeError: As for training.
        Interrupted: A signal came.
    """
    demand_training(experiment, smoke=True)
    if experiment.execution.strategy != "auto":
        text = "is for several devices, and one is timed; run it with execution.strategy=auto."
        raise experiment.error(("execution", "strategy"), text)
    device = prepare_runtime(experiment)
    built = make(experiment)
    rows, size = len(built.data.splits["train"]), built.data.batch_size
    summary = run_record.summary(built, f"{rows:,} examples in batches of {size:,}")
    plan = Plan(experiment.name, "", device.description, 0, 0, summary)
    with listening() as stop, showing(display, plan), user_errors(experiment):
        prepare_execution(built, device, [Task("train", "train", built.total_steps)])
        return _Bench(built, device, display, stop).comparison(rounds)


def left_out(built: BuiltExperiment, device_kind: str) -> dict[str, str]:
    """Return the modes that are not tried, with the reason; the experiment's own always is.

    Args:
        built: What is trained; its execution is prepared.
        device_kind: "cpu" or "gpu".
    """
    work = ModeInputs(built, "train", built.total_steps, device_kind)
    own, obstacle = built.step.execution.plan.modes["train"], work.full.obstacle
    reasons = {}
    for mode in MODES.values():
        if mode.xla and obstacle is not None:
            reasons[mode.name] = f"XLA cannot compile {obstacle}"
        elif mode is not own and not is_sensible(mode, work.count, work.device_kind):
            reasons[mode.name] = TOO_SLOW
    return reasons


class _Bench:
    """One comparison while it goes on.

    Args:
        built: What is trained; its execution is prepared.
        device: What computes.
        display: Told of every way.
        stop: Whether a signal asked to stop.
    """

    def __init__(
        self, built: BuiltExperiment, device: Runtime, display: Display, stop: StopRequest
    ) -> None:
        self._trial, self._device, self._display, self._stop = built, device, display, stop
        self._own = built.step.execution.plan.modes["train"]
        self._rows: dict[str, Row] = {}

    def comparison(self, rounds: int) -> Comparison:
        """Time everything so many times."""
        built = shortened(self._trial, self._check, self._device)
        ways = self._started(built)
        self._time(ways, rounds)
        return Comparison(
            experiment=built.experiment.name,
            device=self._device.description,
            batch_size=built.data.batch_size,
            steps=built.steps_per_epoch,
            rows=tuple(self._rows.values()),
            mode=self._own.name,
            why=self._trial.step.execution.plan.why["train"],
            shares=self._shares(ways.get(self._own.name), rounds),
        )

    def _started(self, built: BuiltExperiment) -> dict[str, Way]:
        """Return the ways that can take a step, by name; the others get the reason in their row."""
        started = dict[str, Way]()
        for name, way in self._ways(built):
            try:
                with Stage(f"{name}: preparing the first step"):
                    first = way.first_step()
                with Stage(f"{name}: running the first epochs"):
                    # A fused mode finds out by and by how much it can run at once.
                    way.epochs(1)
            except FitxError:
                raise
            except Exception as error:
                failure, self._rows[name] = error, Row(name, reason=first_line(error))
                self._display.note(f"{name}: {first_line(error)}")
            else:
                started[name], self._rows[name] = way, Row(name, first)
                self._display.note(f"{name}: first step after {first:.2f} s")
        if not started:
            raise failure
        return started

    def _ways(self, built: BuiltExperiment) -> Iterator[tuple[str, Way]]:
        """Yield every way with its name; one that is left out gets its row."""
        yield STOCK, Stock(another(built), self._check)
        at_once = min(AT_ONCE, built.steps_per_epoch)
        if at_once > 1:
            yield f"{STOCK}, {at_once} steps a call", Stock(another(built), self._check, at_once)
        reasons = left_out(self._trial, self._device.kind)
        for mode in MODES.values():
            if mode.name in reasons:
                self._rows[mode.name] = Row(mode.name, reason=reasons[mode.name])
            else:
                yield mode.name, Fitx(another(built), self._check, mode, self._device)

    def _time(self, ways: dict[str, Way], rounds: int) -> None:
        """Time all ways in turn and fill in their rows."""
        self._display.note("timing them in turn")
        counts = {name: _epochs(way) for name, way in ways.items()}
        found = [
            {name: statistics.median(way.epochs(counts[name])) for name, way in ways.items()}
            for _ in range(rounds)
        ]
        for name, way in ways.items():
            epoch = statistics.median(times[name] for times in found)
            self._rows[name] = replace(
                self._rows[name],
                step=epoch / way.built.steps_per_epoch,
                examples_per_second=len(way.built.data.splits["train"]) / epoch,
                ratio=statistics.median(t[STOCK] / t[name] for t in found)
                if STOCK in ways
                else None,
            )

    def _shares(self, own: Way | None, rounds: int) -> Shares | None:
        if not isinstance(own, Fitx):
            return None
        self._display.note(f"looking where the time of {own.mode.name} goes")
        steps = self._trial.steps_per_epoch
        return measured(own, _epochs(own), rounds, steps, self._device.kind)

    def _check(self) -> None:
        if self._stop.number:
            text = f"stopped by {self._stop.name}; nothing was measured to the end."
            raise Interrupted(text, self._stop.number)


def _epochs(way: Way) -> int:
    """Return how many epochs of a way fill a round."""
    return max(1, min(MOST_EPOCHS, int(ROUND_SECONDS / way.epochs(1)[0])))
