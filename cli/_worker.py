"""What a command leaves to the first of several workers: run folder, display and result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from fitx.errors import FitxError

if TYPE_CHECKING:
    from fitx.experiment.experiment import Experiment


@dataclass(frozen=True)
class Part:
    """What this process does of a command.

    Args:
        is_chief: Whether it shows progress and results, as the only worker does.
        out: The folder of all runs, for others than the chief a temporary one.
    """

    is_chief: bool
    out: Path

    def own(self, run: Path) -> Path:
        """Return the folder in which this process goes on with a run: the run's, or a copy."""
        from fitx.rundir.duplicate import duplicate

        return run if self.is_chief else duplicate(run, self.out)


@contextmanager
def part(experiment: Experiment, out: Path) -> Iterator[Part]:
    """Tell a process its part, and remove what a worker beside the chief wrote."""
    if experiment.execution.strategy != "multi_worker" or _is_chief():
        yield Part(is_chief=True, out=out)
        return
    with TemporaryDirectory(prefix="fitx-worker-") as folder:
        try:
            yield Part(is_chief=False, out=Path(folder))
        except FitxError as error:
            error.run = None
            raise


def _is_chief() -> bool:
    from fitx.runtime import cluster

    return cluster.read_cluster().is_chief
