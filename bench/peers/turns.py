"""Lets a program be timed in turn with others: it waits for a line, and answers with seconds.

So every program keeps its process, what it compiled and its memory, and none is timed while
another runs. This file needs nothing but Python: PyTorch's programs may have one of their own.
"""

import sys
import time
from collections.abc import Callable


def serve(turn: Callable[[], float]) -> None:
    """Answer every line on standard input with what a turn returns."""
    for _ in sys.stdin:
        print(repr(turn()), file=sys.__stdout__, flush=True)


def timed(run: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
