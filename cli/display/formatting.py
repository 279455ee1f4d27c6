"""Formats values, durations, speeds and names for every display."""

from .._output import one_line

ELLIPSIS = "…"


def format_value(number: float) -> str:
    """Format a value with 4 significant digits in at most 9 characters (10 if negative)."""
    return f"{float(number):#.4g}".removesuffix(".")


def format_duration(seconds: float) -> str:
    """Format a measured time: 3.2ms, 0.12s, 12.3s, 3m10s, 1h02m, 2d05h."""
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f}ms"
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    return f"{seconds:.1f}s" if seconds < 59.95 else format_estimate(seconds)


def format_estimate(seconds: float) -> str:
    """Format an estimated time: 0s, 12s, 3m10s, 1h02m, 2d05h."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_rest = divmod(minutes, 60)
    if not minutes:
        return f"{rest}s"
    if not hours:
        return f"{minutes}m{rest:02d}s"
    days, hours_rest = divmod(hours, 24)
    return f"{days}d{hours_rest:02d}h" if days else f"{hours}h{minutes_rest:02d}m"


def format_speed(steps_per_second: float) -> str:
    """Format a speed: 1,234 steps/s, 12 steps/s, 1.5 steps/s, 2.50s/step."""
    if steps_per_second < 1:
        return f"{format_duration(1 / steps_per_second)}/step"
    digits = 0 if steps_per_second >= 9.95 else 1
    return f"{steps_per_second:,.{digits}f} steps/s"


def ascii_line(text: str) -> str:
    """Return a text on one line in ASCII, with escapes for all other characters."""
    return one_line(text).encode("ascii", "backslashreplace").decode("ascii")


def shorten_middle(text: str, width: int) -> str:
    """Cut the middle of a text wider than `width` cells: names often differ only at their ends."""
    from rich.cells import cell_len, set_cell_size  # 3 ms that `fitx --help` does not need.

    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    tail = set_cell_size(text[::-1], (width - 1) // 2)[::-1]
    return set_cell_size(text, width - 1 - cell_len(tail)) + ELLIPSIS + tail


def align_right(text: str, width: int) -> str:
    """Return a text at the right end of `width` cells, shortened if it is wider."""
    from rich.cells import cell_len

    short = shorten_middle(text, width)
    return " " * (width - cell_len(short)) + short
