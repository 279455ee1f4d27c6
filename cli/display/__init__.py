"""Ways to show a run on stderr: a live terminal, plain lines, or nothing."""

import os
import sys
from typing import TextIO

from fitx.training.progress import Display

from .plain import PlainDisplay
from .quiet import NoDisplay

__all__ = ["choose", "redraws"]


def choose(quiet: bool) -> Display:
    """Pick the display that stderr can show.

    Live only on a terminal that can redraw, outside CI and in UTF-8; nothing with `quiet` or when
    stderr was closed; plain lines everywhere else.
    """
    stream: TextIO | None = sys.stderr
    if quiet or stream is None:
        return NoDisplay()
    if not redraws(stream):
        return PlainDisplay(stream)
    from .terminal import TerminalDisplay  # Rich costs import time that other displays do not owe.

    return TerminalDisplay()


def redraws(stream: TextIO) -> bool:
    """Whether a stream is a terminal in which lines can be drawn again."""
    return (
        stream.isatty()
        and os.environ.get("CI", "").lower() in {"", "0", "false"}
        and os.environ.get("TERM") not in {"dumb", "unknown"}
        and (stream.encoding or "").lower().replace("-", "") == "utf8"
    )
