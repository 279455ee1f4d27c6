"""Shows a run as lines of ASCII text, for pipes, files, CI and SLURM logs."""

import math
import time
from collections.abc import Callable
from typing import TextIO

from fitx.training.display_interface import Plan

from .formatting import ascii_line, format_duration, format_estimate, format_speed, format_value
from .speed import Speed

SECONDS_BETWEEN_LINES = 30.0


class TextDisplay:
    """Writes one line per epoch, and at most one every 30 seconds within an epoch.

    If the stream fails (a closed pipe, a full disk), the display becomes silent and training goes
    on.

    Args:
        stream: The stream to write to, such as `sys.stderr`.
        clock: Returns seconds since any fixed moment.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream: TextIO | None = stream
        self._clock = clock
        self._speed = Speed(0, 0)
        self._in_epoch = False
        self._due = -math.inf
        self._line_due = -math.inf

    def begin(self, plan: Plan) -> None:
        """Write the title and, indented, the parts, the device, the mode and the run folder."""
        self._speed = Speed(plan.epochs, plan.steps)
        self._write(plan.title)
        self._write(f"  {plan.summary}")
        self._write(f"  device  {plan.device}")
        if plan.mode:
            self._write(f"  mode    {plan.mode}")
        if plan.run:
            self._write(f"  run     {plan.run}")
        self._wait(self._clock())

    def epoch_begin(self, epoch: int) -> None:
        """Note that an epoch starts."""
        now = self._clock()
        self._speed.epoch_begin(epoch, now)
        self._in_epoch = True
        self._wait(now)
        if self._speed.waiting:
            self._due = -math.inf  # The first step ends compilation: the speed counts from there.

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
        steps = f"{self._speed.steps} steps" if self._speed.steps else ""
        self._in_epoch = False
        self._write_fields(
            self._epoch(epoch), steps, format_duration(seconds), *_format_values(values)
        )

    def note(self, text: str) -> None:
        """Write one line."""
        self._write(text)

    def end(self) -> None:
        """Do nothing: there is nothing to restore."""

    def _show_step(self, step: int, values: Callable[[], dict[str, float]], now: float) -> None:
        self._speed.reach(step, now)
        if now < self._line_due:
            self._due = self._line_due
            return
        steps_per_second, left = self._speed.steps_per_second, self._speed.epoch_seconds_left
        self._write_fields(
            self._epoch(self._speed.epoch),
            *_progress("step", step, self._speed.steps),
            format_speed(steps_per_second) if steps_per_second else "",
            "" if left is None else f"ETA {format_estimate(left)}",
            *_format_values(values()),
        )
        self._wait(now)

    def _show_validation_step(self, step: int, steps: int) -> None:
        if self._in_epoch:
            epoch = self._epoch(self._speed.epoch)
            self._write_fields(epoch, *_progress("validation", step, steps))
        else:
            self._write_fields(*_progress("evaluation", step, steps))

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch}/{self._speed.epochs}"

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
        except (OSError, ValueError):  # Python raises ValueError for a closed file.
            self._stream = None


def _progress(word: str, step: int, steps: int) -> tuple[str, str]:
    return (
        (f"{word} {step}/{steps}", f"{100 * step // steps}%") if steps else (f"{word} {step}", "")
    )


def _format_values(values: dict[str, float]) -> list[str]:
    return [f"{name} {format_value(number)}" for name, number in values.items()]
