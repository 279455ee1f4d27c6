"""Draws training.svg, the picture of the README: `make pictures`.

Trains the shipped digits in a pseudo terminal of fixed size and draws the screen as it was during
one of the last epochs. The values follow from the experiment's seed; times, the name of the run
and the device are those of the machine.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import struct
import sys
import tempfile
import termios
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS, ROWS = 110, 30
COMMAND = ("fitx", "train", "digits")
LATE = re.compile(r"^epoch +1[1-4]/15 .*\nstep .*\n.* loss ", re.MULTILINE)
"""Matches a screen with the bars of one of the epochs 11 to 14 at the bottom."""
TOKENS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b\r\n]+|.", re.DOTALL)
PICTURE = Path(__file__).with_name("training.svg")
THEME = TerminalTheme(
    (22, 24, 29),
    (214, 217, 224),
    [
        (22, 24, 29),
        (224, 108, 117),
        (152, 195, 121),
        (229, 192, 123),
        (97, 175, 239),
        (198, 120, 221),
        (86, 182, 194),
        (214, 217, 224),
    ],
)


class Screen:
    """Lines of a terminal, each with its escape sequences for colours.

    Understands what fitx writes: the cursor moves to the start of a line, up by lines, and the
    screen is erased from there on.
    """

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0

    def feed(self, text: str) -> None:
        """Take what was written to the terminal."""
        for token in TOKENS.findall(text):
            if token == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif token.startswith("\x1b") and token.endswith("A"):
                self.row = max(0, self.row - int(token[2:-1] or 1))
            elif token == "\x1b[J":
                self.lines[self.row :] = [""]
            elif token != "\r":
                self.lines[self.row] += token

    def text(self) -> Text:
        """Return what the screen shows, in its colours."""
        shown = Text.from_ansi("\n".join(self.lines))
        shown.rstrip()
        return shown


def written(command: tuple[str, ...]) -> Iterator[str]:
    """Run a command in a pseudo terminal and yield what it writes, piece by piece."""
    process, terminal = pty.fork()
    if not process:
        os.environ.update(TERM="xterm-256color", COLORTERM="", CUDA_VISIBLE_DEVICES="")
        os.environ.pop("CI", None)
        os.execv(Path(sys.executable).with_name(command[0]), command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        while piece := os.read(terminal, 65_536):
            yield decode(piece)
    except OSError:  # What Linux says when the process has closed its end.
        pass
    os.close(terminal)
    if os.waitpid(process, 0)[1]:
        raise SystemExit(f"{' '.join(command)} failed")


def screen_of(command: tuple[str, ...]) -> Text:
    """Run a command to its end; return its screen during one of the last epochs."""
    screen, late = Screen(), None
    for piece in written(command):
        screen.feed(piece)
        if late is None and LATE.search(screen.text().plain):
            late = screen.text()
    if late is None:
        raise SystemExit(f"the bars of the last epochs were never seen:\n{screen.text().plain}")
    return late


def main() -> None:
    """Make the picture anew."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        screen = screen_of(COMMAND)
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold cyan"), " ".join(COMMAND)))
    console.print(screen, end="\n\n")
    svg = console.export_svg(title="fitx", theme=THEME, unique_id="training")
    # The reader's own font: a picture in a page may not load one from elsewhere.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code,", "ui-monospace, Menlo, Consolas, DejaVu Sans Mono,")
    PICTURE.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")


if __name__ == "__main__":
    main()
