"""How values, durations, rates and names are spelled wherever a run is shown."""

from .._output import one_line


def value(number: float) -> str:
    """Spell a value with 4 significant digits in at most 9 characters (10 below zero)."""
    return f"{float(number):#.4g}".removesuffix(".")


def duration(seconds: float) -> str:
    """Spell a measured time: 3.2ms, 0.12s, 12.3s, 3m10s, 1h02m, 2d05h."""
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f}ms"
    if seconds < 9.995:
        return f"{seconds:.2f}s"
    return f"{seconds:.1f}s" if seconds < 59.95 else rough_duration(seconds)


def rough_duration(seconds: float) -> str:
    """Spell a time that is only estimated: 0s, 12s, 3m10s, 1h02m, 2d05h."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_rest = divmod(minutes, 60)
    if not minutes:
        return f"{rest}s"
    if not hours:
        return f"{minutes}m{rest:02d}s"
    days, hours_rest = divmod(hours, 24)
    return f"{days}d{hours_rest:02d}h" if days else f"{hours}h{minutes_rest:02d}m"


def rate(steps_per_second: float) -> str:
    """Spell a speed: 1,234 steps/s, 12 steps/s, 1.5 steps/s, 2.50s/step."""
    if steps_per_second < 1:
        return f"{duration(1 / steps_per_second)}/step"
    digits = 0 if steps_per_second >= 9.95 else 1
    return f"{steps_per_second:,.{digits}f} steps/s"


def ascii_line(text: str) -> str:
    """Spell a text on one line in ASCII alone, other characters as escapes."""
    return one_line(text).encode("ascii", "backslashreplace").decode("ascii")
