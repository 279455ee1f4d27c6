"""Shows a run on a terminal: live bars and values, and a line that stays for each epoch."""

import contextlib
import math
import time
from collections.abc import Callable

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from fitx import stages
from fitx.training.display_interface import Plan

from .._output import one_line
from .epoch_table import EpochTable
from .formatting import format_speed, shorten_middle
from .live_lines import Bar, draw_bars, draw_values
from .live_region import Region
from .speed import Speed

SECONDS_BETWEEN_REDRAWS = 0.2
"""Steps and finished epochs are timed separately: together at most 10 redraws a second."""

MAX_TIME_SHARE = 0.02
"""Drawing takes at most this share of the time: a redraw of 40 ms is followed by a pause of 2 s."""

MAX_PAUSE_SECONDS = 5.0
"""Upper limit of the pause: a terminal that Ctrl-S stopped blocks for minutes, but is not slow."""


class TerminalDisplay:
    """Redraws a few lines in place with Rich, without a thread.

    If the terminal goes away (a lost connection), the display becomes silent and training goes on.

    Args:
        console: The terminal; stderr by default.
        clock: Returns seconds since any fixed moment.
    """

    def __init__(
        self, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(stderr=True, force_terminal=True)
        self._clock = clock
        self._region = Region(self._console)
        self._speed = Speed(0, 0)
        self._table = EpochTable(0)
        self._values: dict[str, float] = {}
        self._validation: tuple[int, int] | None = None
        self._in_epoch = False
        self._stage = ""
        self._finished: list[tuple[int, dict[str, float], float]] = []
        self._due = self._epoch_due = -math.inf
        self._lost = False

    def begin(self, plan: Plan) -> None:
        """Print the plan and start the live lines below it."""
        self._speed = Speed(plan.epochs, plan.steps)
        self._table = EpochTable(plan.epochs)
        self._guard(lambda: self._start(plan))

    def epoch_begin(self, epoch: int) -> None:
        """Note that an epoch starts."""
        now = self._clock()
        self._speed.epoch_begin(epoch, now)
        self._validation = None
        self._in_epoch = True
        # The very first step may take long to prepare.
        if now >= self._due or self._stage:
            self._redraw()

    def step(self, step: int, values: Callable[[], dict[str, float]]) -> None:
        """Redraw if a redraw is due."""
        now = self._clock()
        if now >= self._due:
            self._speed.reach(step, now)
            self._values = values()
            self._redraw()

    def validation_step(self, step: int, steps: int) -> None:
        """Redraw if a redraw is due."""
        now = self._clock()
        if now >= self._due:
            self._speed.complete_steps(now)
            self._validation = (step, steps)
            self._redraw()

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        """Print the line of the epoch; the lines of short epochs are printed together."""
        now = self._clock()
        self._speed.complete_steps(now)
        self._validation = None
        self._in_epoch = False
        self._finished.append((epoch, dict(values), seconds))
        if now >= self._epoch_due:
            self._redraw()

    def note(self, text: str) -> None:
        """Print one line below the lines of finished epochs."""
        self._redraw(Text(one_line(text)))

    def end(self) -> None:
        """Print the remaining epochs, erase the live lines and restore the terminal."""
        if self._finished:
            self._redraw()
        stages.unwatch(self._show_stage)
        self._guard(self._region.stop)

    def _start(self, plan: Plan) -> None:
        self._console.print(Text(one_line(plan.title), "bold"))
        self._print_indented(Text(one_line(plan.summary)))
        self._print_indented(_labelled("device", plan.device))
        if plan.mode:
            self._print_indented(_labelled("mode", plan.mode))
        if plan.run:
            # The terminal wraps the path itself, so that it can be copied as a whole.
            self._console.print(Text("  ") + _labelled("run", plan.run), soft_wrap=True)
        self._console.print()
        self._region.start()
        stages.watch(self._show_stage)

    def _print_indented(self, text: Text) -> None:
        self._console.print(Padding(text, (0, 0, 0, 2), expand=False))

    def _show_stage(self, text: str) -> None:
        self._stage = text
        if text:
            self._redraw()

    def _redraw(self, *notes: Text) -> None:
        began = self._clock()
        finished, self._finished = self._finished, []
        width = self._console.width
        rows = [row for epoch in finished for row in self._table.rows(*epoch, width)]
        self._region.lines = self._live_lines(width - 1)
        self._guard(lambda: self._region.redraw(*rows, *notes))
        now = self._clock()
        pause = min(MAX_PAUSE_SECONDS, (now - began) / MAX_TIME_SHARE)
        self._due = now + max(SECONDS_BETWEEN_REDRAWS, pause)
        if finished:
            self._epoch_due = self._due

    def _live_lines(self, width: int) -> list[Text]:
        bars = self._bars()
        lines = draw_bars(bars, width) if bars else []
        if self._stage:
            return [*lines, Text(shorten_middle(one_line(self._stage), width), "dim")]
        if self._validation and not self._in_epoch:
            return lines
        steps_per_second = self._speed.steps_per_second
        speed = format_speed(steps_per_second) if steps_per_second else ""
        return lines + draw_values(speed, self._values, width)

    def _bars(self) -> list[Bar]:
        speed = self._speed
        if self._validation and not self._in_epoch:
            return [_validation_bar("eval", *self._validation)]
        if not speed.epoch:
            return []
        run = Bar("epoch", speed.epoch, speed.epochs, speed.run_fraction, speed.run_seconds_left)
        if self._validation:
            epoch = _validation_bar("val", *self._validation)
        else:
            left = speed.epoch_seconds_left
            epoch = Bar("step", speed.step, speed.steps, speed.epoch_fraction, left)
        return [run, epoch] if speed.epochs > 1 else [epoch]

    def _guard(self, action: Callable[[], None]) -> None:
        """Run an action; an OSError means that the terminal is gone."""
        if self._lost:
            return
        try:
            action()
        except OSError:
            self._lost = True
            with contextlib.suppress(OSError):
                self._region.stop()


def _validation_bar(word: str, step: int, steps: int) -> Bar:
    return Bar(word, step, steps, step / steps if steps else 0.0)


def _labelled(label: str, text: str) -> Text:
    return Text.assemble((f"{label:<6}", "dim"), "  ", one_line(text))
