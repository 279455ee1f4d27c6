"""The training once more, from an instant that is known on, without callbacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fitx.build.built import BuiltExperiment
from fitx.build.step_feeds import evaluation_feed, training_batch, training_feed
from fitx.engine.loops import silent_loop
from fitx.training.state.snapshot import Position
from fitx.training.state.variables import State, assign, capture, test_changes_only_metrics


class Stopped(Exception):
    """Somebody asked for the end of it."""


@dataclass(frozen=True)
class Instant:
    """The training at one instant.

    Attributes:
        state: Its variables.
        at: Where it stands; an epoch whose steps are all done may not be over yet.
        values: What the epoch under way has logged.
    """

    state: State
    at: Position
    values: Mapping[str, float]


class Replay:
    """Runs the steps of a training again, in the mode in which they ran.

    Validations are run again too where they draw random numbers, say. Of what callbacks do only
    the learning rates are known, with which each epoch began.

    Args:
        built: What was trained.
        variables: All that changes, by name.
        rates: The learning rates that changed, by the number of steps before that.
        lines: What metrics.jsonl says of the epochs.
        is_wanted: Asked now and then whether to go on.

    Attributes:
        is_exact: Whether each epoch that was over again had logged the same.
    """

    def __init__(
        self,
        built: BuiltExperiment,
        variables: Mapping[str, Any],
        rates: Mapping[int, State],
        lines: Iterable[Mapping[str, Any]],
        is_wanted: Callable[[], bool],
    ) -> None:
        self.built, self.rates, self.is_wanted = built, rates, is_wanted
        self.variables = dict(variables)
        self.lines = {line["epoch"]: line for line in lines}
        self.is_exact = True
        is_validated = "validation" in built.data.splits
        self._validates = is_validated and not test_changes_only_metrics(built.step)

    def run(self, begin: Instant, end: int) -> Instant:
        """Go on from an instant until so many steps are done.

        Raises:
            Stopped: It is no longer wanted.
        """
        at = self.place(begin)
        feed = iter(training_feed(self.built, at.batches(self.built.steps_per_epoch)))
        while True:
            count = min(end - at.step, self.built.steps_per_epoch - at.epoch_steps)
            silent_loop.run(self.built.step.make_train_function(), feed, count, self.is_wanted)
            if not self.is_wanted():
                raise Stopped
            at = replace(at, step=at.step + count, epoch_steps=at.epoch_steps + count)
            if at.step == end:
                values = self.built.step.execution.logs["train"].result()
                return Instant(capture(self.variables), at, values)
            at = self._next(at)

    def place(self, instant: Instant) -> Position:
        """Let everything be as before the step that follows an instant; return where it is."""
        assign(self.variables, instant.state)
        return self._next(instant.at)

    def batch(self, instant: Instant) -> Any:
        """Return the batch of the step that follows an instant."""
        return training_batch(self.built, instant.at.batches(self.built.steps_per_epoch))

    def _next(self, at: Position) -> Position:
        """End the epoch whose steps are all done; begin the one that a step is to begin."""
        if at.epoch_steps == self.built.steps_per_epoch:
            self._end_epoch(at.epoch + 1)
            at = Position(at.epoch + 1, at.step)
        if not at.epoch_steps:
            self.built.step.reset_metrics()
        changed = self.rates.get(at.step, {})
        assign({name: self.variables[name] for name in changed}, changed)
        return at

    def _end_epoch(self, epoch: int) -> None:
        built, step = self.built, self.built.step
        line = self.lines.get(epoch, {})
        values = step.execution.logs["train"].result().items()
        self.is_exact &= all(line.get(name, value) == value for name, value in values)
        step.execution.logs["train"].running = False
        if self._validates and epoch % built.experiment.fit.validation_freq == 0:
            feed = evaluation_feed(built, "validation")
            step.evaluate(feed, steps=built.evaluation_steps("validation"), verbose=0)


def turn(
    replay: Replay, good: Instant, end: int, is_bad: Callable[[Instant], bool]
) -> tuple[Instant, Instant] | None:
    """Return the instants before and after the step that turned bad what was good.

    Halving runs no more steps in all than there are. None if all is good at the end too.
    """
    bad: Instant | None = None
    while end - good.at.step > 1:
        middle = replay.run(good, (good.at.step + end) // 2)
        if is_bad(middle):
            bad, end = middle, middle.at.step
        else:
            good = middle
    bad = bad or replay.run(good, end)
    return (good, bad) if is_bad(bad) else None
