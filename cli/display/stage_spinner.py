"""Indicators of the current stage of a command: an animated line, or lines of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .._output import one_line
from .formatting import ascii_line, format_estimate, shorten_middle

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
SECONDS_BETWEEN_FRAMES = 0.1
SECONDS_BETWEEN_LINES = 10.0
Write = Callable[[str], None]
Clock = Callable[[], float]


class Indicator(Protocol):
    """Shows one stage at a time.

    The main thread calls `begin`; another thread calls `tick` repeatedly.
    """

    seconds_between_ticks: float

    def begin(self, text: str) -> None:
        """Show that a stage begins; an empty text means that no stage is active."""

    def tick(self) -> None:
        """Show that the stage is still active."""


class Spinner:
    """An animated line on a terminal, erased at the end of a stage.

    The cursor stays visible on an empty line above it, so that the output of others is readable.

    Args:
        write: Writes to the terminal.
        width: Returns the width of the terminal in columns.
        clock: Returns seconds since any fixed moment.
    """

    seconds_between_ticks = SECONDS_BETWEEN_FRAMES

    def __init__(self, write: Write, width: Callable[[], int], clock: Clock) -> None:
        self._write, self._width, self._clock = write, width, clock
        self._text = ""
        self._began = 0.0
        self._drawn: float | None = None
        self._frame = 0

    def begin(self, text: str) -> None:
        """Draw a stage, unless another was drawn less than 0.1 s ago: many are that short."""
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
        time_taken = f" {format_estimate(seconds)}" if seconds >= 1 else ""
        text = shorten_middle(self._text, self._width() - len(time_taken) - 3)
        line = f"{FRAMES[self._frame % len(FRAMES)]} {text}{time_taken}"
        self._write(f"\r\x1b[J\n{line}\r\x1b[1A")

    def _erase(self) -> None:
        if self._drawn is not None:
            self._write("\r\x1b[J")
        self._drawn = None


class StageLines:
    """One line per 10 seconds of a stage, for pipes and files; none for shorter stages.

    Args:
        write: Writes to the stream.
        clock: Returns seconds since any fixed moment.
    """

    seconds_between_ticks = 0.5

    def __init__(self, write: Write, clock: Clock) -> None:
        self._write, self._clock = write, clock
        self._text = ""
        self._began = self._due = 0.0

    def begin(self, text: str) -> None:
        """Start counting the 10 seconds."""
        self._text, self._began = ascii_line(text), self._clock()
        self._due = self._began + SECONDS_BETWEEN_LINES

    def tick(self) -> None:
        """Write a line if 10 seconds have passed since the stage began or since the last line."""
        now = self._clock()
        if self._text and now >= self._due:
            self._due += SECONDS_BETWEEN_LINES
            self._write(f"{self._text}, {format_estimate(now - self._began)} so far\n")
