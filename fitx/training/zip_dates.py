"""Dates of zip archives, under a clock that stands at a year which the format cannot hold."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

_Date = tuple[int, int, int, int, int, int]

FIRST: _Date = (1980, 1, 1, 0, 0, 0)
LAST: _Date = (2107, 12, 31, 23, 59, 58)


@contextmanager
def dates_within_range() -> Iterator[None]:
    """Let `zipfile` write the nearest date that it can, where it would raise an error.

    A machine without a battery for its clock starts in 1970. Keras' files of networks are zip
    archives whose members get the time of day, and there is no option for another one.
    """
    if FIRST[0] <= time.gmtime(time.time()).tm_year <= LAST[0]:
        yield
        return
    original = zipfile.ZipInfo.__init__

    def within_range(
        self: zipfile.ZipInfo, filename: str = "NoName", date_time: _Date = FIRST
    ) -> None:
        original(self, filename, min(max(date_time, FIRST), LAST))

    zipfile.ZipInfo.__init__ = within_range  # type: ignore[method-assign]
    try:
        yield
    finally:
        zipfile.ZipInfo.__init__ = original  # type: ignore[method-assign]
