"""The part of a terminal that is redrawn: bars, speed and current values."""

from dataclasses import dataclass

from rich.text import Text

from .._output import one_line
from .formatting import ELLIPSIS, format_estimate, format_value, shorten_middle

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
    """Draw the speed and the current values in up to 3 lines; what does not fit is left out."""
    pieces = [Text(speed, "dim")] if speed else []
    pieces += [_piece(name, number, width) for name, number in values.items()]
    lines = _pack([piece for piece in pieces if piece.cell_len <= width], width)
    if len(lines) > MOST_LINES:
        lines = lines[:MOST_LINES]
        last = lines[-1]
        while last and _joined(last).cell_len + len(f" {ELLIPSIS}") > width:
            last.pop()
        last.append(Text(ELLIPSIS))
    return [_joined(line) for line in lines]


def _count(bar: Bar) -> str:
    return f"{bar.count}/{bar.total}" if bar.total else f"{bar.count}"


def _draw(bar: Bar, count: str, width: int) -> Text:
    line = Text.assemble((f"{bar.word:<5}", "dim"), GAP, count)
    if len(line) > width:
        # A figure is whole or left out.
        line = Text(count.strip() if len(count.strip()) <= width else "")
    if not bar.total:
        return line
    share, left = f"{bar.fraction:4.0%}", _eta(bar.seconds_left)
    room = width - len(line) - len(share) - len(left) - 2 * len(GAP)
    line.append_text(_bar(bar.fraction, min(MOST_BAR, room)))
    for figure in (GAP + share, left):
        if len(line) + len(figure.rstrip()) <= width:
            line.append(figure[: width - len(line)])
    return line


def _eta(seconds_left: float | None) -> str:
    text = "" if seconds_left is None else f"ETA {format_estimate(seconds_left)}"
    return GAP + text.ljust(len("ETA 00m00s"))


def _bar(fraction: float, width: int) -> Text:
    if width < LEAST_BAR:
        return Text()
    done = round(fraction * width)
    return Text.assemble(GAP, (DONE * done, "cyan"), (LEFT * (width - done), "dim"))


def _piece(name: str, number: float, width: int) -> Text:
    spelled = format_value(number)
    room = min(MOST_NAME, width - len(spelled) - 1)
    return Text.assemble((shorten_middle(one_line(name), room), "dim"), " ", (spelled, "bold"))


def _pack(pieces: list[Text], width: int) -> list[list[Text]]:
    """Return the pieces of each line."""
    lines: list[list[Text]] = []
    for piece in pieces:
        if lines and _joined([*lines[-1], piece]).cell_len <= width:
            lines[-1].append(piece)
        else:
            lines.append([piece])
    return lines


def _joined(pieces: list[Text]) -> Text:
    return Text(GAP).join(pieces)
