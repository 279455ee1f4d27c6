"""Text cut to a width in terminal cells."""

from rich.cells import cell_len

ELLIPSIS = "…"


def shorten(text: str, width: int) -> str:
    """Cut the middle of a text that is wider than `width` cells: names differ at both ends."""
    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    tail = _leading(text[::-1], (width - 1) // 2)[::-1]
    return _leading(text, width - 1 - cell_len(tail)) + ELLIPSIS + tail


def right(text: str, width: int) -> str:
    """Put a text at the right end of exactly `width` cells."""
    short = shorten(text, width)
    return " " * (width - cell_len(short)) + short


def _leading(text: str, width: int) -> str:
    kept = text[: max(0, width)]
    while kept and cell_len(kept) > width:
        kept = kept[:-1]
    return kept
