"""A few lines of a terminal that are redrawn in place, below everything that is printed."""

import sys
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.control import Control
from rich.file_proxy import FileProxy
from rich.segment import ControlType, Segment
from rich.text import Text


class Region(RenderHook):
    """Lines that stay below what is printed, and that anyone may write over.

    Between redraws the cursor rests, visible, on an empty line above them. So what others write
    (`tf.print`, logs of C++ code, the ^C a terminal echoes) stays readable, a resized terminal may
    wrap the lines as it likes, and a killed process leaves a usable prompt. Rich's own `Live`
    rests it hidden behind the last line, where each of these spoils the screen.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self.lines: list[Text] = []
        self._console = console
        self._streams: tuple[TextIO, TextIO] | None = None

    def start(self) -> None:
        """Keep the lines below whatever Python prints from now on."""
        if self._streams is None:
            self._streams = (sys.stdout, sys.stderr)
            self._console.push_render_hook(self)
            self._take_over_prints()

    def redraw(self, *printed: Text) -> None:
        """Print lasting lines, then the region below them, in one write."""
        self._console.print(Text("\n").join(printed) if printed else Control())

    def stop(self) -> None:
        """Take the region away; the cursor is left at the start of an empty line."""
        if self._streams is not None:
            sys.stdout, sys.stderr = self._streams
            self._streams = None
            self._console.pop_render_hook()
            self._console.print(_Erase(), end="")

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Put the region behind what Rich is about to print."""
        lines = self.lines[: self._console.height - 1]
        if not lines:
            return [_Erase(), *renderables]
        drawn = Text("\n", no_wrap=True, overflow="crop", end="").join([Text(), *lines])
        up = (ControlType.CURSOR_UP, len(lines))
        return [_Erase(), *renderables, drawn, Control(ControlType.CARRIAGE_RETURN, up)]

    def _take_over_prints(self) -> None:
        # Results that go to a file or a pipe must not end up in the terminal.
        if sys.stdout is not None and sys.stdout.isatty():
            sys.stdout = cast(TextIO, FileProxy(self._console, sys.stdout))
        if sys.stderr is not None:
            sys.stderr = cast(TextIO, FileProxy(self._console, sys.stderr))


class _Erase:
    """From the start of the cursor's line to the end of the screen."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Rich has no control of its own for erasing downwards.
        yield Segment("\r\x1b[J", None, [(ControlType.CARRIAGE_RETURN,)])
