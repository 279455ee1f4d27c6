"""Plain lines for pipes, files, CI and SLURM logs: ASCII, no control characters, whole lines."""

import math
import time
from collections.abc import Callable
from typing import TextIO

from fitx.training.progress import Plan

from .pace import Pace
from .wording import ascii_line, duration, rate, rough_duration, value

SECONDS_BETWEEN_LINES = 30.0


class PlainDisplay:
    """Writes one line per epoch, and within an epoch at most one every 30 seconds.

    A stream that cannot be written any more (a closed pipe, a full disk) silences the display and
    never stops the training.

    Args:
        stream: where the lines go, such as `sys.stderr`.
        clock: seconds since any fixed moment.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream: TextIO | None = stream
        self._clock = clock
        self._pace = Pace(0, 0)
        self._in_epoch = False
        self._due = -math.inf
        self._line_due = -math.inf

    def begin(self, plan: Plan) -> None:
        """Write the title and, indented, the parts, the device and the run folder."""
        self._pace = Pace(plan.epochs, plan.steps)
        self._write(plan.title)
        self._write(f"  {plan.summary}")
        self._write(f"  device  {plan.device}")
        if plan.mode:
            self._write(f"  mode    {plan.mode}")
        if plan.run:
            self._write(f"  run     {plan.run}")
        self._wait(self._clock())

    def epoch_begin(self, epoch: int) -> None:
        """Start the epoch's 30 seconds."""
        now = self._clock()
        self._pace.epoch_begin(epoch, now)
        self._in_epoch = True
        self._wait(now)
        if self._pace.waiting:
            self._due = -math.inf  # The rate counts from the first step on: compilation ends there.

    def step(self, step: int, values: Callable[[], dict[str, float]]) -> None:
        """Write a line if the last one is 30 seconds old."""
        now = self._clock()
        if now >= self._due:
            self._show_step(step, values, now)

    def validation_step(self, step: int, steps: int) -> None:
        """Write a line if the last one is 30 seconds old."""
        now = self._clock()
        if now >= self._line_due:
            self._show_validation_step(step, steps)
            self._wait(now)

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        """Write the epoch's line."""
        steps = f"{self._pace.steps} steps" if self._pace.steps else ""
        self._in_epoch = False
        self._write_fields(self._epoch(epoch), steps, duration(seconds), *_spell(values))

    def note(self, text: str) -> None:
        """Write one line."""
        self._write(text)

    def end(self) -> None:
        """Nothing to restore: every line was written whole."""

    def _show_step(self, step: int, values: Callable[[], dict[str, float]], now: float) -> None:
        self._pace.reach(step, now)
        if now < self._line_due:
            self._due = self._line_due
            return
        steps_per_second, left = self._pace.rate, self._pace.epoch_seconds_left
        self._write_fields(
            self._epoch(self._pace.epoch),
            *_count("step", step, self._pace.steps),
            rate(steps_per_second) if steps_per_second else "",
            "" if left is None else f"ETA {rough_duration(left)}",
            *_spell(values()),
        )
        self._wait(now)

    def _show_validation_step(self, step: int, steps: int) -> None:
        if self._in_epoch:
            epoch = self._epoch(self._pace.epoch)
            self._write_fields(epoch, *_count("validation", step, steps))
        else:
            self._write_fields(*_count("evaluation", step, steps))

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch}/{self._pace.epochs}"

    def _wait(self, now: float) -> None:
        self._due = self._line_due = now + SECONDS_BETWEEN_LINES

    def _write_fields(self, *fields: str) -> None:
        self._write("  ".join(field for field in fields if field))

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(ascii_line(text) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError is what Python raises on a closed file.
            self._stream = None


def _count(word: str, step: int, steps: int) -> tuple[str, str]:
    return (
        (f"{word} {step}/{steps}", f"{100 * step // steps}%") if steps else (f"{word} {step}", "")
    )


def _spell(values: dict[str, float]) -> list[str]:
    return [f"{name} {value(number)}" for name, number in values.items()]
