"""A live display for terminals: bars that move and a lasting line for each finished epoch."""

import contextlib
import math
import time
from collections.abc import Callable

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from fitx import stages
from fitx.training.progress import Plan

from .._output import one_line
from .epoch_table import EpochTable
from .formatting import format_speed, shorten_middle
from .frame import Bar, draw_bars, draw_values
from .region import Region
from .speed import Speed

# Bars and epoch lines keep their own time, which together makes at most 10 redraws a second.
SECONDS_BETWEEN_REDRAWS = 0.2
# A redraw that took 40 ms is followed by 2 s without one: drawing may take 2% of the time.
LARGEST_SHARE = 0.02
# A terminal held by Ctrl-S blocks for as long as the user likes; that is not slowness.
LONGEST_PAUSE_SECONDS = 5.0


class TerminalDisplay:
    """Redraws a few lines in place with Rich, without a thread of its own.

    A terminal that goes away (a lost connection) silences the display and never stops the training.

    Args:
        console: the terminal; stderr when left out.
        clock: seconds since any fixed moment.
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
        """Print what is about to run and start the live part below it."""
        self._speed = Speed(plan.epochs, plan.steps)
        self._table = EpochTable(plan.epochs)
        self._guard(lambda: self._open(plan))

    def epoch_begin(self, epoch: int) -> None:
        """Start the epoch's bar."""
        now = self._clock()
        self._speed.epoch_begin(epoch, now)
        self._validation = None
        self._in_epoch = True
        # The first step of all may be long in coming.
        if now >= self._due or self._stage:
            self._draw()

    def step(self, step: int, values: Callable[[], dict[str, float]]) -> None:
        """Redraw if it is time to."""
        now = self._clock()
        if now >= self._due:
            self._speed.reach(step, now)
            self._values = values()
            self._draw()

    def validation_step(self, step: int, steps: int) -> None:
        """Redraw if it is time to."""
        now = self._clock()
        if now >= self._due:
            self._speed.complete_steps(now)
            self._validation = (step, steps)
            self._draw()

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        """Print the epoch's line; very short epochs wait for one another's."""
        now = self._clock()
        self._speed.complete_steps(now)
        self._validation = None
        self._in_epoch = False
        self._finished.append((epoch, dict(values), seconds))
        if now >= self._epoch_due:
            self._draw()

    def note(self, text: str) -> None:
        """Print one line below the epochs that are finished."""
        self._draw(Text(one_line(text)))

    def end(self) -> None:
        """Print what is left, take the live part away and give the terminal back."""
        if self._finished:
            self._draw()
        stages.unwatch(self._show_stage)
        self._guard(self._region.stop)

    def _open(self, plan: Plan) -> None:
        self._console.print(Text(one_line(plan.title), "bold"))
        self._console.print(_indented(Text(one_line(plan.summary))))
        self._console.print(_indented(_labelled("device", plan.device)))
        if plan.mode:
            self._console.print(_indented(_labelled("mode  ", plan.mode)))
        if plan.run:
            # Left to the terminal to wrap, a path can still be copied whole.
            path = Text("  ").append_text(_labelled("run   ", plan.run))
            self._console.print(path, soft_wrap=True)
        self._console.print()
        self._region.start()
        stages.watch(self._show_stage)

    def _show_stage(self, text: str) -> None:
        self._stage = text
        if text:
            self._draw()

    def _draw(self, *notes: Text) -> None:
        began = self._clock()
        finished, self._finished = self._finished, []
        width = self._console.width
        rows = [row for epoch in finished for row in self._table.rows(*epoch, width)]
        self._region.lines = self._lines(width - 1)
        self._guard(lambda: self._region.redraw(*rows, *notes))
        now = self._clock()
        pause = min(LONGEST_PAUSE_SECONDS, (now - began) / LARGEST_SHARE)
        self._due = now + max(SECONDS_BETWEEN_REDRAWS, pause)
        if finished:
            self._epoch_due = self._due

    def _lines(self, width: int) -> list[Text]:
        stage = [Text(shorten_middle(one_line(self._stage), width), "dim")] if self._stage else []
        if self._validation and not self._in_epoch:
            return draw_bars([_validation_bar("eval", *self._validation)], width) + stage
        if not self._speed.epoch:
            return stage
        if stage:
            current = stage
        else:
            speed = (
                format_speed(self._speed.steps_per_second) if self._speed.steps_per_second else ""
            )
            current = draw_values(speed, self._values, width)
        return draw_bars(self._bars(), width) + current

    def _bars(self) -> list[Bar]:
        speed = self._speed
        run = Bar("epoch", speed.epoch, speed.epochs, speed.run_fraction, speed.run_seconds_left)
        if self._validation:
            epoch = _validation_bar("val", *self._validation)
        else:
            left = speed.epoch_seconds_left
            epoch = Bar("step", speed.step, speed.steps, speed.epoch_fraction, left)
        return [run, epoch] if speed.epochs > 1 else [epoch]

    def _guard(self, action: Callable[[], None]) -> None:
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
    return Text.assemble((label, "dim"), "  ", one_line(text))


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2), expand=False)
