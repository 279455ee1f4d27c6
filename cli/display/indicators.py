"""Ways to show one stage of a command at a time: a line that moves, or lines in a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .._output import one_line
from .wording import ascii_line, rough_duration

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
SECONDS_BETWEEN_FRAMES = 0.1
SECONDS_BETWEEN_LINES = 10.0
Write = Callable[[str], None]
Clock = Callable[[], float]


class Indicator(Protocol):
    """A way to show one stage at a time.

    The main thread calls `begin`; another one calls `tick` again and again while a stage goes on.
    """

    seconds_between_ticks: float

    def begin(self, text: str) -> None:
        """Show that a stage begins; of an empty text, that none goes on."""

    def tick(self) -> None:
        """Show that the stage still goes on."""


class Spinner:
    """A line of a terminal that moves while a stage goes on and is gone when it is over.

    The cursor rests, visible, on an empty line above it, so that what others print stays readable.

    Args:
        write: Writes to the terminal.
        width: Returns the terminal's columns.
        clock: Seconds since any fixed moment.
    """

    seconds_between_ticks = SECONDS_BETWEEN_FRAMES

    def __init__(self, write: Write, width: Callable[[], int], clock: Clock) -> None:
        from .fit import shorten  # Rich costs import time that lines do not owe.

        self._shorten = shorten
        self._write, self._width, self._clock = write, width, clock
        self._text = ""
        self._began = 0.0
        self._drawn: float | None = None
        self._frame = 0

    def begin(self, text: str) -> None:
        """Draw a stage, unless another was drawn a moment ago: many last no longer than that."""
        self._text, self._began = one_line(text), self._clock()
        if not text:
            self._erase()
        elif self._drawn is None or self._began - self._drawn >= SECONDS_BETWEEN_FRAMES:
            self.tick()

    def tick(self) -> None:
        """Draw the next frame."""
        if not self._text:
            return
        self._drawn = self._clock()
        self._frame += 1
        seconds = self._drawn - self._began
        time_taken = f" {rough_duration(seconds)}" if seconds >= 1 else ""
        text = self._shorten(self._text, self._width() - len(time_taken) - 3)
        line = f"{FRAMES[self._frame % len(FRAMES)]} {text}{time_taken}"
        self._write(f"\r\x1b[J\n{line}\r\x1b[1A")

    def _erase(self) -> None:
        if self._drawn is not None:
            self._write("\r\x1b[J")
        self._drawn = None


class Lines:
    """A line for every 10 seconds of a stage, for pipes and files; none for a shorter one.

    Args:
        write: Writes to the stream.
        clock: Seconds since any fixed moment.
    """

    seconds_between_ticks = 0.5

    def __init__(self, write: Write, clock: Clock) -> None:
        self._write, self._clock = write, clock
        self._text = ""
        self._began = self._due = 0.0

    def begin(self, text: str) -> None:
        """Start the stage's 10 seconds."""
        self._text, self._began = ascii_line(text), self._clock()
        self._due = self._began + SECONDS_BETWEEN_LINES

    def tick(self) -> None:
        """Write a line if the stage began, or the last line was written, 10 seconds ago."""
        now = self._clock()
        if self._text and now >= self._due:
            self._due += SECONDS_BETWEEN_LINES
            self._write(f"{self._text}, {rough_duration(now - self._began)} so far\n")
