"""Formats the lines that stay on a terminal: one row per finished epoch, values in columns."""

from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.text import Text

from .._output import one_line
from .formatting import ELLIPSIS, align_right, format_duration, format_value

VALIDATION = "val_"
VALUE_WIDTH = 9
LEAST_LABEL_WIDTH = 16
TIME_WIDTH = 6
GAP = "  "


@dataclass(frozen=True)
class Column:
    """One logged value: its key, what stands above it, and its width in cells."""

    key: str
    label: str
    width: int


class EpochTable:
    """Rows of finished epochs below a header that is repeated whenever the columns change.

    Args:
        epochs: number of the last epoch.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._names: list[str] = []
        self._columns: list[Column] | None = None

    def rows(self, epoch: int, values: dict[str, float], seconds: float, width: int) -> list[Text]:
        """Lay out one epoch, `width` cells wide; columns that do not fit end in an ellipsis.

        Returns:
            The epoch's line, after a header where one is due.
        """
        self._names += [name for name in values if name not in self._names]
        head_width = self._epoch_width + len(GAP) + TIME_WIDTH
        columns = lay_out(self._names, width - head_width)
        header = [] if columns == self._columns else [self._header(columns)]
        self._columns = columns
        return [*header, self._row(epoch, values, seconds)]

    @property
    def _epoch_width(self) -> int:
        return max(len("epoch"), 2 * len(str(self._epochs)) + 1)

    def _header(self, columns: list[Column]) -> Text:
        labels = [align_right("epoch", self._epoch_width), align_right("time", TIME_WIDTH)]
        labels += [align_right(column.label, column.width) for column in columns]
        return Text(GAP.join(labels) + self._tail(columns), style="dim")

    def _row(self, epoch: int, values: dict[str, float], seconds: float) -> Text:
        columns = self._columns or []
        cells = [align_right(_spell(values, column.key), column.width) for column in columns]
        row = Text(align_right(f"{epoch}/{self._epochs}", self._epoch_width))
        row.append(GAP + align_right(format_duration(seconds), TIME_WIDTH), "dim")
        return row.append("".join(GAP + cell for cell in cells) + self._tail(columns))

    def _tail(self, columns: list[Column]) -> str:
        return f" {ELLIPSIS}" if len(columns) < len(self._names) else ""


def lay_out(names: list[str], width: int) -> list[Column]:
    """Share `width` cells among the values: long names are shortened first, then columns dropped.

    A `val_` value stands beside its training value, under the label `val`.
    """
    ordered = _pair(names)
    widest = max((column.width for column in ordered), default=0)
    columns = ordered
    for limit in range(max(widest, LEAST_LABEL_WIDTH), LEAST_LABEL_WIDTH - 1, -1):
        columns = [replace(column, width=min(column.width, limit)) for column in ordered]
        if _total(columns) <= width:
            return columns
    while columns and _total(columns) + len(GAP) > width:
        columns.pop()
    return columns


def _pair(names: list[str]) -> list[Column]:
    columns = []
    for name in names:
        if name.startswith(VALIDATION) and name.removeprefix(VALIDATION) in names:
            continue
        columns.append(_column(name, name))
        if VALIDATION + name in names:
            columns.append(_column(VALIDATION + name, "val"))
    return columns


def _column(key: str, label: str) -> Column:
    shown = one_line(label)
    return Column(key, shown, max(VALUE_WIDTH, cell_len(shown)))


def _total(columns: list[Column]) -> int:
    return sum(len(GAP) + column.width for column in columns)


def _spell(values: dict[str, float], key: str) -> str:
    return format_value(values[key]) if key in values else ""
