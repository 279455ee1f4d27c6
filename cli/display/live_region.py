"""Redraws a few lines of a terminal in place, below everything that is printed."""

import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.control import Control
from rich.file_proxy import FileProxy
from rich.segment import ControlType, Segment
from rich.text import Text


class Region(RenderHook):
    """Lines that stay below what Python prints, and that other output may overwrite.

    Between redraws the cursor stays visible on an empty line above the lines. So output that does
    not pass through Python (`tf.print`, C++ logs, the ^C of a terminal) remains readable, and a
    killed process leaves a usable prompt. Rich's own `Live` keeps the cursor on the last line and
    erases upwards: it would erase such output and leave the first bar behind each time.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self.lines: list[Text] = []
        self._console = console
        self._restore = ExitStack()

    def start(self) -> None:
        """Keep the lines below what Python prints from now on."""
        self._restore.callback(lambda: self._console.print(_EraseBelow(), end=""))
        self._console.push_render_hook(self)
        self._restore.callback(self._console.pop_render_hook)
        # Results that go to a file or a pipe must not appear in the terminal.
        if sys.stdout is not None and sys.stdout.isatty():
            self._restore.enter_context(redirect_stdout(self._above(sys.stdout)))
        if sys.stderr is not None:
            self._restore.enter_context(redirect_stderr(self._above(sys.stderr)))

    def redraw(self, *printed: Text) -> None:
        """Print lines that stay, and the region below them, in one write."""
        self._console.print(Text("\n").join(printed) if printed else Control())

    def stop(self) -> None:
        """Erase the region; the cursor is left at the start of an empty line."""
        self._restore.close()

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Add the region to what Rich is about to print."""
        lines = self.lines[: self._console.height - 1]
        if not lines:
            return [_EraseBelow(), *renderables]
        drawn = Text("\n", no_wrap=True, overflow="crop", end="").join([Text(), *lines])
        up = (ControlType.CURSOR_UP, len(lines))
        return [_EraseBelow(), *renderables, drawn, Control(ControlType.CARRIAGE_RETURN, up)]

    def _above(self, stream: TextIO) -> TextIO:
        """Return a stream whose lines Rich prints above the region."""
        return cast(TextIO, FileProxy(self._console, stream))


class _EraseBelow:
    """Erases from the start of the cursor's line to the end of the screen."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Rich has no control code for erasing downwards.
        yield Segment("\r\x1b[J", None, [(ControlType.CARRIAGE_RETURN,)])
