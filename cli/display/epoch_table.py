"""Formats the lines that stay on a terminal: one row per finished epoch, values in columns.

Rows are joined strings: `rich.table` takes 1 ms per row, and runs may finish 200 epochs a second.
"""

from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.text import Text

from .._output import one_line
from .formatting import ELLIPSIS, align_right, format_duration, format_value

VALUE_WIDTH = 9
SHORT_LABEL_WIDTH = 16
TIME_WIDTH = 6
GAP = "  "


@dataclass(frozen=True)
class Column:
    """A logged value: its key, the label above it, and the width in cells."""

    key: str
    label: str
    width: int


class EpochTable:
    """Rows of finished epochs below a header, which is repeated when the columns change.

    Args:
        epochs: The number of the last epoch.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._epoch_width = max(len("epoch"), 2 * len(str(epochs)) + 1)
        self._names: list[str] = []
        self._columns: list[Column] | None = None

    def rows(self, epoch: int, values: dict[str, float], seconds: float, width: int) -> list[Text]:
        """Format one epoch in `width` cells; columns that do not fit end in an ellipsis.

        Returns:
            The row of the epoch, after a header if one is due.
        """
        self._names += [name for name in values if name not in self._names]
        room = width - self._epoch_width - len(GAP) - TIME_WIDTH
        columns = lay_out(self._names, room)
        labels = [column.label for column in columns]
        header = [Text(self._line("epoch", "time", labels, columns), "dim")]
        texts = [format_value(values[c.key]) if c.key in values else "" for c in columns]
        row = self._line(f"{epoch}/{self._epochs}", format_duration(seconds), texts, columns)
        is_new, self._columns = columns != self._columns, columns
        return [*(header if is_new else []), Text(row)]

    def _line(self, epoch: str, time: str, cells: list[str], columns: list[Column]) -> str:
        aligned = [align_right(epoch, self._epoch_width), align_right(time, TIME_WIDTH)]
        aligned += [align_right(c, column.width) for c, column in zip(cells, columns, strict=True)]
        rest = f" {ELLIPSIS}" if len(columns) < len(self._names) else ""
        return GAP.join(aligned) + rest


def lay_out(names: list[str], width: int) -> list[Column]:
    """Return the columns that fit in `width` cells; long labels are shortened first.

    A `val_` value follows its training value under the label `val`.
    """
    columns = []
    for name in names:
        if name.removeprefix("val_") != name and name.removeprefix("val_") in names:
            continue
        columns.append(_column(name, name))
        if f"val_{name}" in names:
            columns.append(_column(f"val_{name}", "val"))
    if _total(columns) > width:
        columns = [replace(c, width=min(c.width, SHORT_LABEL_WIDTH)) for c in columns]
    if _total(columns) > width:
        while columns and _total(columns) + len(GAP) > width:
            columns.pop()
    return columns


def _column(key: str, label: str) -> Column:
    return Column(key, one_line(label), max(VALUE_WIDTH, cell_len(one_line(label))))


def _total(columns: list[Column]) -> int:
    return sum(len(GAP) + column.width for column in columns)
