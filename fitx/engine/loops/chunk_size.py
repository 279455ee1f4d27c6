"""How many steps one call runs, so that no call takes long."""

from __future__ import annotations

SECONDS = 0.25
"""That a chunk aims at: half of the longest that a signal or a display may have to wait."""

GROWTH = 16
"""How many times as long as the last chunk the next may be; a short one says little of the rate."""


class ChunkSize:
    """Chooses the length of chunks from how long those before took."""

    def __init__(self) -> None:
        self._next = 1
        self._is_warm = False

    def take(self, available: int) -> int:
        """Return how many of the available steps the next chunk runs, at least 1."""
        return min(available, self._next)

    def took(self, count: int, seconds: float) -> None:
        """Learn that a chunk of `count` steps took so many seconds."""
        if not self._is_warm:
            # The first call compiles.
            self._is_warm = True
        elif count == self._next or seconds > SECONDS:
            fitting = int(count * SECONDS / max(seconds, 1e-9))
            self._next = max(1, min(fitting, count * GROWTH))
