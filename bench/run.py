"""Print fitx' costs as ratios and medians: python bench/run.py

Start-up of commands, the whole process against a hand-written Keras script, and the cost of a
step against stock `model.fit`. Both sides of a ratio run in turn, so that a machine whose speed
drifts slows both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
FITX = str(Path(sys.executable).parent / "fitx")


def main() -> None:
    """Run every benchmark and print a line of each."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        show_median("fitx --help", lambda: seconds([FITX, "--help"]), rounds)
        check = [FITX, "check", "guide/gan"]
        show_median("fitx check guide/gan", lambda: seconds(check), rounds)
        script = [sys.executable, str(HERE / "hand_written" / "simple.py")]
        train = [FITX, "train", "guide/simple", "-q"]
        name = "fitx train guide/simple / hand-written Keras script"
        show_ratio(name, lambda: seconds(train), lambda: seconds(script), rounds)
        subprocess.run([sys.executable, str(HERE / "step_cost.py"), str(rounds)], check=True)


def seconds(command: list[str]) -> float:
    """Run a command and return its wall time."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def show_median(name: str, measure: Callable[[], float], rounds: int) -> None:
    """Print the median of several measurements, after one that does not count."""
    measure()
    times = [measure() for _ in range(rounds)]
    print(f"{name}: {statistics.median(times):.3f} s ({spread(times)})", flush=True)


def show_ratio(
    name: str, ours: Callable[[], float], theirs: Callable[[], float], rounds: int
) -> None:
    """Print the median of the ratios of two measurements taken in turn."""
    ours(), theirs()
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    ratios = [a / b for a, b in pairs]
    medians = [statistics.median(side) for side in zip(*pairs, strict=True)]
    text = f"{medians[0]:.6g} s / {medians[1]:.6g} s, ratios {spread(ratios)}"
    print(f"{name}: {statistics.median(ratios):.3f} ({text})", flush=True)


def spread(values: list[float]) -> str:
    """Return the smallest and the largest of some values."""
    return f"{min(values):.3f} to {max(values):.3f}"


if __name__ == "__main__":
    main()
