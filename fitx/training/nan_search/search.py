"""What a training that diverged is told of: which number was the first not to be finite."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fitx import checkpoint
from fitx.build.built import BuiltExperiment
from fitx.build.error_attribution import first_line
from fitx.errors import Diverged, FitxError, StorageError
from fitx.rundir import journal
from fitx.training.monitor import RunMonitor
from fitx.training.nan_search import probe
from fitx.training.nan_search.replay import Instant, Replay, Stopped, turn
from fitx.training.result import relative_to_cwd
from fitx.training.state.finite import (
    ADVICE,
    first_non_finite,
    forbidden_values,
    is_finite,
    non_finite_number,
    position_text,
    refuse_values,
    values_text,
)
from fitx.training.state.snapshot import Snapshot, position_from_meta, training_part
from fitx.training.state.variables import NETWORKS, OPTIMIZERS, capture, network_state


def refuse_measured(values: dict[str, float], split: str, built: BuiltExperiment) -> None:
    """Raise Diverged if a measured value is not finite, saying whether the networks are."""
    allow_nan = built.experiment.fit.allow_nan
    if not forbidden_values(values, allow_nan):
        return
    networks = network_state(built.step)
    name = first_non_finite(networks)
    if name is not None:
        more = f"'{name}' holds {non_finite_number(networks[name])}."
    else:
        more = "Every variable of the networks is finite: look at the data and the step."
    refuse_values(values, f"on the {split} split", more, allow_nan)


def explained(error: Diverged, built: BuiltExperiment, run_monitor: RunMonitor) -> Diverged:
    """Return what a training ended with, and where that began: found by running steps again."""
    with suppress(FitxError):
        run_monitor.saver.wait()
    search = _Search(error, built, run_monitor)
    try:
        origin = search.origin()
    except Stopped:
        text = f"The search for what was not finite first was stopped by {run_monitor.stop.name}."
        origin = search.unknown(text)
    except Exception as failure:  # Whatever it is, the user must hear of the divergence.
        text = f"What was not finite first could not be found: {first_line(failure)}"
        origin = search.unknown(text)
    advice = origin.advice or f"{ADVICE} {search.way_on()}"
    if error.names and not any(name.endswith("loss") for name in error.names):
        advice = f"{advice} A value that may be NaN is named in fit.allow_nan."
    return Diverged(origin.found, origin.where, f"{origin.text}\n{advice}", error.names)


@dataclass(frozen=True)
class Origin:
    """What there is to say of a divergence.

    Attributes:
        found: What is not finite.
        where: Since when.
        text: What came first.
        advice: What to do, if it is not what mostly helps.
    """

    found: str
    where: str
    text: str
    advice: str | None = None


class _Search:
    """Looks for the first number that is not finite in a training that has ended so.

    Args:
        error: What was seen.
        built: What was trained.
        run_monitor: How far it came.
    """

    def __init__(self, error: Diverged, built: BuiltExperiment, run_monitor: RunMonitor) -> None:
        self.error, self.built, self.run_monitor = error, built, run_monitor
        self.variables = run_monitor.state.variables
        logged = built.step.execution.logs["train"].names
        self.names = [name for name in error.names if name in logged]
        self.newest: checkpoint.Newest | None = None
        with suppress(StorageError):
            self.newest = checkpoint.newest(run_monitor.saver.folder)

    def origin(self) -> Origin:
        """Return where the divergence began."""
        if self.built.step.execution.strategy is not None:
            return self.unknown(_ON_SEVERAL)
        if self.error.names and not self.names and self._is_sound():
            return replace(self.unknown(_SOUND), advice=_LOOK_ELSEWHERE)
        begin, end = self._beginning(), self.run_monitor.at.step
        if begin is None or begin.at.step >= end:
            return self.unknown("There is nothing to run its steps again from.")
        steps = f"steps {begin.at.step + 1:,} to {end:,}"
        self.run_monitor.display.note(f"diverged: running {steps} again, to find where it began")
        replay = self._replay()
        sound = {name for name, array in begin.state.items() if is_finite(array)}

        def is_bad(instant: Instant) -> bool:
            return self._is_bad(instant) or _spoilt(instant, sound) is not None

        found = turn(replay, begin, end, is_bad)
        if found is None:
            last = max(begin.at.step, self.run_monitor.trail.finite_until if self.names else 0)
            return self.unknown(_NOT_AGAIN.format(f"S{steps[1:]}", f"{last:,}"))
        before, after = found
        text = self._first(replay, before, after, sound)
        if not replay.is_exact:
            text += _OTHER_BITS
        seen = self._seen(replay, after, end)
        return Origin(*seen, text) if seen else self.unknown(text)

    def unknown(self, text: str) -> Origin:
        """Return what was seen, and a text in place of where it began."""
        return Origin(self.error.found, self.error.where, text)

    def way_on(self) -> str:
        """Return from where the run can go on."""
        if self.newest is None:
            return "There is no checkpoint: it diverged before the first."
        names = list(self.built.experiment.optimizers)
        key = "optimizer" if names == ["model"] else f"optimizers.{names[0]}"
        run = relative_to_cwd(self.run_monitor.journal.run)
        return (
            f"Checkpoint {self.newest.folder.name} is whole; `fitx resume {run} --allow-inexact "
            f"{key}.learning_rate=...` goes on from it."
        )

    def _is_sound(self) -> bool:
        trained = (NETWORKS, OPTIMIZERS)
        named = {k: v for k, v in self.variables.items() if k.startswith(trained)}
        return first_non_finite(capture(named)) is None

    def _beginning(self) -> Instant | None:
        """Return the newest instant that is known in full."""
        found: Snapshot | None = self.run_monitor.trail.start
        if self.newest is not None:
            found = Snapshot(self.newest.state, self.newest.meta)
        if found is None:
            return None
        return Instant(training_part(found.state), position_from_meta(found.meta), {})

    def _replay(self) -> Replay:
        run_monitor = self.run_monitor
        lines = journal.read(run_monitor.journal.run)
        rates, stop = run_monitor.trail.rates, run_monitor.stop
        return Replay(self.built, self.variables, rates, lines, lambda: not stop.number)

    def _is_bad(self, instant: Instant) -> bool:
        """Whether a value that was not finite at the end is not finite already."""
        return any(not math.isfinite(instant.values[name]) for name in self.names)

    def _seen(self, replay: Replay, after: Instant, end: int) -> tuple[str, str] | None:
        """Return which logged values are not finite, and since when; None if it is not those."""
        if not self.names:
            return None
        if not self._is_bad(after):
            found = turn(replay, after, end, self._is_bad)
            if found is None:
                return None
            after = found[1]
        values = {n: after.values[n] for n in self.names if not math.isfinite(after.values[n])}
        return values_text(values), position_text(after.at.step, after.at.epoch + 1)

    def _first(self, replay: Replay, before: Instant, after: Instant, sound: set[str]) -> str:
        """Return what was not finite first in the step between two instants."""
        number = f"{after.at.step:,}"
        sight = self._sight(replay, before)
        if sight is None:
            name = _spoilt(after, sound)
            return _UNSEEN.format(f"'{name}'" if name else ", ".join(self.names), number)
        if sight.kind == "value":
            return f"{_OF_VALUE.format(sight.thing, number)}{_largest(before)}."
        return _OF_VARIABLE[sight.kind].format(self._name_of(sight.thing), number)

    def _sight(self, replay: Replay, before: Instant) -> probe.Sight | None:
        """Return what the step after an instant comes upon first, if it can be run by itself."""
        step, data = self.built.step, replay.batch(before)
        try:
            return probe.first_not_finite(step, data, lambda: replay.place(before))
        except Exception:  # A step may need to be compiled, or more memory if it is not.
            return None

    def _name_of(self, variable: Any) -> str:
        names = (name for name, known in self.variables.items() if known is variable)
        return next(names, getattr(variable, "path", variable.name))


_ON_SEVERAL = "Which number was the first is not looked for where several devices train."
_SOUND = (
    "All that the training steps logged is finite, and so is every variable of the networks and "
    "optimizers."
)
_LOOK_ELSEWHERE = "Look at the validation data, the step's `test_step` and the callbacks."
_NOT_AGAIN = (
    "{}, run again, gave finite numbers, as happens where training is not deterministic or a "
    "callback changes variables; it is only known to have happened after step {}."
)
_OTHER_BITS = (
    " (The steps that were run again did not log quite the same, as happens where training is not "
    "deterministic or a callback changes variables.)"
)
_UNSEEN = "The first number that was not finite is in {}, after step {}."
_OF_VALUE = (
    "The first number that was not finite is {} itself at step {}: its batch, and every variable "
    "before it, were finite"
)
_OF_VARIABLE = {
    "gradient": "The first number that was not finite is the gradient of '{}' at step {}.",
    "variable": "The first number that was not finite is in '{}', as step {} left it; its gradient "
    "was finite.",
}


def _largest(instant: Instant) -> str:
    """Return the largest number of the networks' variables, with the name of its variable."""
    sizes = {
        name: float(np.max(np.abs(array)))
        for name, array in instant.state.items()
        if name.startswith(NETWORKS) and array.size and is_finite(array)
    }
    name = max(sizes, key=lambda name: sizes[name], default=None)
    return f", the largest number {sizes[name]:.3g} in '{name}'" if name is not None else ""


def _spoilt(instant: Instant, sound: set[str]) -> str | None:
    """Return the first variable that is not finite and was at the beginning."""
    return first_non_finite({n: array for n, array in instant.state.items() if n in sound})
