"""Draws the live lines of a terminal: progress bars, speed and current values."""

from dataclasses import dataclass

from rich.text import Text

from .._output import one_line
from .formatting import ELLIPSIS, format_estimate, format_value, shorten_middle

BAR_WIDTH, MIN_BAR_WIDTH = 40, 4
MAX_VALUE_LINES = 3
MAX_NAME_WIDTH = 32
GAP = "  "


@dataclass(frozen=True)
class Bar:
    """A count with its progress towards a total.

    Args:
        word: The unit that is counted.
        count: The number of units that are done.
        total: The number of all units; 0 if unknown, which leaves the bar out.
        fraction: The share that is done, 0 to 1.
        seconds_left: The estimated time left; None while unknown.
    """

    word: str
    count: int
    total: int
    fraction: float
    seconds_left: float | None = None


def draw_bars(bars: list[Bar], width: int) -> list[Text]:
    """Draw aligned bars in lines of at most `width` cells.

    In a narrow terminal the bar is left out first, then whole figures from the right.
    """
    counts = [f"{bar.count}/{bar.total}" if bar.total else f"{bar.count}" for bar in bars]
    count_width = max(map(len, counts))
    lines = zip(bars, counts, strict=True)
    return [_draw_bar(bar, count.rjust(count_width), width) for bar, count in lines]


def _draw_bar(bar: Bar, count: str, width: int) -> Text:
    word = f"{bar.word:<5}"
    eta = "" if bar.seconds_left is None else f"ETA {format_estimate(bar.seconds_left)}"
    figures = [f"{bar.fraction:4.0%}", eta] if bar.total else []
    line = Text.assemble((word, "dim"), GAP, count)
    room = min(BAR_WIDTH, width - len(line) - len(f"{GAP}{GAP}100%{GAP}ETA 00m00s"))
    if bar.total and room >= MIN_BAR_WIDTH:
        done = round(bar.fraction * room)
        line.append(GAP).append("━" * done, "cyan").append("─" * (room - done), "dim")
    for figure in filter(None, figures):
        if len(line) + len(GAP) + len(figure) > width:
            break
        line.append(GAP + figure)
    return line


def draw_values(speed: str, values: dict[str, float], width: int) -> list[Text]:
    """Draw the speed and the current values in at most 3 lines; an ellipsis stands for the rest."""
    room = width - len(f" {ELLIPSIS}")
    # As a style of the whole text, it would reach the pieces that are appended.
    pieces = [Text.assemble((speed, "dim"))] if speed else []
    pieces += [_draw_value(name, number, room) for name, number in values.items()]
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + len(GAP) + piece.cell_len <= room:
            lines[-1].append(GAP).append_text(piece)
        elif len(lines) == MAX_VALUE_LINES:
            lines[-1].append(f" {ELLIPSIS}")
            break
        elif piece.cell_len <= room:
            lines.append(piece)
    return lines


def _draw_value(name: str, number: float, room: int) -> Text:
    value = format_value(number)
    name_width = min(MAX_NAME_WIDTH, room - len(value) - 1)
    return Text.assemble((shorten_middle(one_line(name), name_width), "dim"), " ", (value, "bold"))
