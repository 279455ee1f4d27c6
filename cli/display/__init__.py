"""Displays of a run on stderr: live on a terminal, lines of text elsewhere, or none."""

import os
import sys
from collections.abc import Callable
from typing import TextIO

from fitx.training.display_interface import Display, Plan

__all__ = ["NoDisplay", "choose_display", "can_redraw"]


def choose_display(quiet: bool) -> Display:
    """Return the display that fits stderr.

    The live display needs a terminal that can redraw lines, in UTF-8 and outside CI. There is no
    display with `quiet` or if stderr is closed; everything else gets lines of text.
    """
    stream: TextIO | None = sys.stderr
    if quiet or stream is None:
        return NoDisplay()
    if not can_redraw(stream):
        from .text_lines import TextDisplay

        return TextDisplay(stream)
    from .terminal import TerminalDisplay  # Rich takes import time that text lines do not need.

    return TerminalDisplay()


def can_redraw(stream: TextIO) -> bool:
    """Return whether a stream is a terminal whose lines can be redrawn."""
    return (
        stream.isatty()
        and os.environ.get("CI", "").lower() in {"", "0", "false"}
        and os.environ.get("TERM") not in {"dumb", "unknown"}
        and (stream.encoding or "").lower().replace("-", "") == "utf8"
    )


class NoDisplay:
    """Shows nothing, as `-q` asks."""

    def begin(self, plan: Plan) -> None:
        """Show nothing."""

    def epoch_begin(self, epoch: int) -> None:
        """Show nothing."""

    def step(self, step: int, values: Callable[[], dict[str, float]]) -> None:
        """Show nothing."""

    def validation_step(self, step: int, steps: int) -> None:
        """Show nothing."""

    def epoch_end(self, epoch: int, values: dict[str, float], seconds: float) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Do nothing: there is nothing to restore."""
