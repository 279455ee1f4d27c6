"""What a run is, before it starts: its files, its run.json, and the line that people read."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fitx.build.trial import Trial
from fitx.data.prepare import Data
from fitx.experiment import plugins
from fitx.experiment.dump import dump
from fitx.run.display import Plan
from fitx.run.observer import relative_to_cwd
from fitx.rundir import environment, record
from fitx.rundir.environment import GitQuestion
from fitx.rundir.files import storage_errors, write_atomically
from fitx.rundir.record import Record
from fitx.runtime import Runtime


def write(
    run: Path, trial: Trial, device: Runtime, *, command: tuple[str, ...], git: GitQuestion
) -> Record:
    """Write source/, experiment.yaml and run.json of a run that is about to start.

    Raises:
        StorageError: A file cannot be written.
    """
    experiment = trial.experiment
    copies = dict(_copies(run, (*experiment.document.files, *experiment.plugins)))
    where = [copies[path].relative_to(run).as_posix() for path in experiment.plugins]
    write_atomically(run / "experiment.yaml", dump(experiment, plugins=where))
    facts: dict[str, Any] = {
        "name": experiment.name,
        **environment.describe(),
        "command": list(command),
        "git": git.result(),
        "device": device.description,
        "device_kind": device.kind,
        "threads": device.threads,
        "precision": device.precision,
        "seed": experiment.seed,
        "mode": "plain",
        "data": fingerprint(trial.data),
        "plugins": {
            where[index]: plugins.sha256(path) for index, path in enumerate(experiment.plugins)
        },
        "last": None,
        "best": None,
    }
    return record.start(run, facts)


def plan(trial: Trial, run: Path | None, device: Runtime) -> Plan:
    """Return what a display shows before the first step."""
    return Plan(
        title=trial.experiment.name,
        run=relative_to_cwd(run) if run is not None else "",
        device=device.description,
        epochs=trial.experiment.fit.epochs if run is not None else 0,
        steps=trial.steps_per_epoch if run is not None else 0,
        summary=summary(trial),
    )


def summary(trial: Trial) -> str:
    """Return one line on the parts: step, networks, optimizers, data."""
    experiment = trial.experiment
    networks = [
        f"{name} {experiment.networks[name].name}, {network.count_params():,} parameters"
        for name, network in trial.step.networks.items()
    ]
    optimizers = dict.fromkeys(part.name for part in experiment.optimizers.values())
    rows = len(trial.data.splits["train"])
    data = f"{rows:,} examples, {trial.steps_per_epoch:,} steps an epoch"
    parts = [", ".join(networks), ", ".join(optimizers), data]
    return f"{experiment.step.name}: {'; '.join(filter(None, parts))}"


def fingerprint(data: Data) -> dict[str, Any]:
    """Return, by split, the rows and a hash of every number, by which the data is known again."""
    return {
        name: {"rows": len(split), "sha256": _hash(split)} for name, split in data.splits.items()
    }


def _hash(split: Any) -> str:
    digest = hashlib.sha256()
    for name, array in split.arrays().items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(memoryview(array).cast("B") if array.size else b"")
    return digest.hexdigest()


def _copies(run: Path, files: tuple[Path, ...]) -> Iterator[tuple[Path, Path]]:
    """Copy files into source/ as they are; two of one name get numbers."""
    taken: set[str] = set()
    for file in dict.fromkeys(files):
        name, number = file.name, 1
        while name in taken:
            number += 1
            name = f"{file.stem}-{number}{file.suffix}"
        taken.add(name)
        copy = run / "source" / name
        with storage_errors("write", copy):
            shutil.copyfile(file, copy)
        yield file, copy
