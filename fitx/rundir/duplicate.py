"""Copies the state of a run into another folder, so that another process can resume it."""

from __future__ import annotations

import shutil
from pathlib import Path

from fitx.rundir.files import storage_errors

NEEDED = ("run.json", "experiment.yaml", "metrics.jsonl", "source", "checkpoints")


def duplicate(run: Path, out: Path) -> Path:
    """Copy the files that a resume needs into another folder of runs, and return the copy.

    Raises:
        StorageError: A file cannot be read or written.
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
