"""A run's state in a folder of its own, for a process beside the one that writes the run."""

from __future__ import annotations

import shutil
from pathlib import Path

from fitx.rundir.files import storage_errors

NEEDED = ("run.json", "experiment.yaml", "metrics.jsonl", "source", "checkpoints")


def duplicate(run: Path, out: Path) -> Path:
    """Copy what is needed to go on with a run below another folder of runs; return the copy.

    Raises:
        StorageError: It cannot be read or written.
    """
    copy = out / run.parent.name / run.name
    with storage_errors("copy", run):
        (copy / "samples").mkdir(parents=True)
        for name in NEEDED:
            if (run / name).is_dir():
                shutil.copytree(run / name, copy / name, symlinks=True)
            elif (run / name).is_file():
                shutil.copyfile(run / name, copy / name, follow_symlinks=False)
    return copy
