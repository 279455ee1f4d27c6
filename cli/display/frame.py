"""The part of a terminal that is redrawn: bars, speed and current values."""

from dataclasses import dataclass

from rich.text import Text

from .._output import one_line
from .fit import ELLIPSIS, shorten
from .wording import rough_duration, value

DONE, LEFT = "━", "─"
MOST_BAR, LEAST_BAR = 40, 4
MOST_LINES = 3
MOST_NAME = 32
GAP = "  "


@dataclass(frozen=True)
class Bar:
    """A count on its way to a total.

    Args:
        word: what is counted.
        count: how many are done.
        total: of how many; 0 when unknown, which leaves the bar out.
        fraction: share that is done, 0 to 1.
        seconds_left: estimated; None while unknown.
    """

    word: str
    count: int
    total: int
    fraction: float
    seconds_left: float | None = None


def draw_bars(bars: list[Bar], width: int) -> list[Text]:
    """Draw bars below one another, aligned, at most `width` cells wide.

    In a narrow terminal the bar itself goes first: the figures say the same.
    """
    counts = [_count(bar) for bar in bars]
    count_width = max(map(len, counts), default=0)
    return [
        _draw(bar, count.rjust(count_width), width) for bar, count in zip(bars, counts, strict=True)
    ]


def draw_values(speed: str, values: dict[str, float], width: int) -> list[Text]:
    """Draw the speed and the current values in up to 3 lines; what does not fit is cut."""
    pieces = [Text(speed, "dim")] if speed else []
    pieces += [_piece(name, number, width) for name, number in values.items()]
    lines = _pack(pieces, width)
    if len(lines) <= MOST_LINES:
        return lines
    last = lines[MOST_LINES - 1]
    last.truncate(width - 2)
    last.append(f" {ELLIPSIS}")
    return lines[:MOST_LINES]


def _count(bar: Bar) -> str:
    return f"{bar.count}/{bar.total}" if bar.total else f"{bar.count}"


def _draw(bar: Bar, count: str, width: int) -> Text:
    line = Text.assemble((f"{bar.word:<5}", "dim"), GAP, count)
    if bar.total:
        tail = f"{bar.fraction:4.0%}" + _eta(bar.seconds_left)
        room = width - len(line) - len(tail) - 2 * len(GAP)
        line.append_text(_bar(bar.fraction, min(MOST_BAR, room)))
        line.append(GAP + tail)
    line.truncate(width, overflow="ellipsis")
    return line


def _eta(seconds_left: float | None) -> str:
    text = "" if seconds_left is None else f"ETA {rough_duration(seconds_left)}"
    return GAP + text.ljust(len("ETA 00m00s"))


def _bar(fraction: float, width: int) -> Text:
    if width < LEAST_BAR:
        return Text()
    done = round(fraction * width)
    return Text.assemble(GAP, (DONE * done, "cyan"), (LEFT * (width - done), "dim"))


def _piece(name: str, number: float, width: int) -> Text:
    spelled = value(number)
    room = min(MOST_NAME, width - len(spelled) - 1)
    return Text.assemble((shorten(one_line(name), room), "dim"), " ", (spelled, "bold"))


def _pack(pieces: list[Text], width: int) -> list[Text]:
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + len(GAP) + piece.cell_len <= width:
            lines[-1].append(GAP).append_text(piece)
        else:
            lines.append(piece)
    return lines
