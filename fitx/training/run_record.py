"""Writes the records of a run: run.json as it starts and ends, summary.json when it is finished."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitx.build.built import BuiltExperiment
from fitx.data.prepare import Data
from fitx.data.splits import rows_text
from fitx.errors import Diverged, FitxError, Interrupted, StorageError
from fitx.experiment.checks.paths import input_files
from fitx.experiment.dump import dump
from fitx.rundir import journal, record, run_environment, summary_file
from fitx.rundir.files import write_atomically, write_json
from fitx.rundir.fingerprint import fingerprints
from fitx.rundir.provenance import Provenance
from fitx.rundir.record import Record
from fitx.runtime import Runtime
from fitx.stages import Stage
from fitx.training.checkpointing import CheckpointSaver
from fitx.training.monitor import RunMonitor
from fitx.training.result import Result, judge_expectations, relative_to_cwd
from fitx.training.resumption import env_seals

STATUSES: dict[type[BaseException], str] = {
    Diverged: "diverged",
    Interrupted: "interrupted",
    KeyboardInterrupt: "interrupted",
}
"""The status of a run that an error of this type ended; any other error makes it `failed`."""


def start_record(
    run: Path,
    built: BuiltExperiment,
    device: Runtime,
    provenance: Provenance,
    data: dict[str, Any],
) -> Record:
    """Write source/, experiment.yaml and run.json of a new run.

    Args:
        run: The run folder.
        built: The built experiment.
        device: The prepared runtime.
        provenance: The files of the experiment.
        data: The fingerprint of the data, which takes seconds for large data: compute it before
            the folder exists.

    Raises:
        StorageError: A file cannot be written.
    """
    experiment = built.experiment
    copies = provenance.copy(run / "source")
    plugins = {path: copies[path].relative_to(run).as_posix() for path in experiment.plugins}
    write_atomically(run / "experiment.yaml", dump(experiment, plugins=list(plugins.values())))
    fields: dict[str, Any] = {
        "name": experiment.name,
        "id": secrets.token_hex(8),
        **run_environment.describe_environment(),
        "git": provenance.git(),
        "device": device.description,
        **execution_fields(built, device),
        "seed": experiment.seed,
        "smoke": experiment.is_smoke,
        "data": data,
        "plugins": {name: provenance.sha256(path) for path, name in plugins.items()},
        "after": {name: w.to_json() for name, w in built.initial_weights.items()},
        "files": fingerprints(input_files(experiment)),
        "references": env_seals.seal(experiment),
        "last": None,
        "best": None,
    }
    return record.start(run, fields)


def execution_fields(built: BuiltExperiment, device: Runtime) -> dict[str, Any]:
    """Return the fields of run.json on the device and the modes, which decide the exact results."""
    modes = built.step.execution.plan.modes
    return {
        "mode": modes["train"].name,
        "evaluation_mode": modes["test"].name,
        "device_kind": device.kind,
        "accelerator": device.accelerator,
        "threads": device.threads,
        "precision": device.precision,
        "strategy": device.strategy,
        "replicas": device.replicas,
    }


@dataclass
class Ending:
    """The state of a run's checkpoints when it ends.

    Args:
        saver: The writer of the checkpoints; None until there is one.
    """

    saver: CheckpointSaver | None = None

    def fields(self) -> dict[str, object]:
        """Return the fields of run.json on the last checkpoint and its best epoch."""
        saver = self.saver
        if saver is None:
            return {}
        return {"last": saver.last.name if saver.last else None, "best": saver.last_best}


@contextmanager
def recording_end(run_record: Record) -> Iterator[Ending]:
    """Write into run.json how the block ended: finished, or by which error."""
    ending = Ending()
    try:
        yield ending
        run_record.update(status="finished", **ending.fields())
    except BaseException as error:
        is_known = isinstance(error, FitxError)
        text = str(error) if is_known else f"{type(error).__name__}: {error}"
        status = STATUSES.get(type(error), "failed")
        try:
            run_record.update(status=status, error=text, **ending.fields())
        except StorageError as second:
            # The first error decides the message and the exit code.
            error.add_note(str(second))
        raise


def write_summary(
    run: Path,
    built: BuiltExperiment,
    run_monitor: RunMonitor,
    values: dict[str, float],
    seconds: float,
) -> Result:
    """Write summary.json and return its content as a result.

    Args:
        run: The run folder.
        built: The trained experiment.
        run_monitor: The monitor of the training.
        values: The final values by name.
        seconds: The duration of the run, with the test and saving.

    Raises:
        StorageError: The file cannot be written.
    """
    experiment = built.experiment
    best = run_monitor.state.best.epoch
    # Without epochs nothing was trained, and the expectations are about trained networks.
    expect = experiment.expect if experiment.fit.epochs else {}
    # The last epoch may have had no validation.
    reached = {**(journal.last_value_by_name(run) if expect else {}), **values}
    fields: dict[str, Any] = {
        "status": "finished",
        "epochs": run_monitor.at.epoch,
        "steps": run_monitor.at.step,
        "seconds": round(seconds, 3),
        "examples_per_second": _rate(built, run_monitor),
        "best": best.to_json() if best is not None else None,
        "expect": judge_expectations(expect, reached),
    }
    write_json(run / summary_file.NAME, {"metrics": values, **fields})
    splits = built.data.splits
    split = next((s for s in ("test", "validation", "train") if s in splits), None)
    return Result(relative_to_cwd(run), split, values, fields)


def _rate(built: BuiltExperiment, run_monitor: RunMonitor) -> float | None:
    """Return the trained examples per second, validation included; None without training."""
    steps = built.data.steps("train")
    passes, rest = divmod(run_monitor.at.step, steps)
    size = built.data.batch_size
    examples = passes * min(steps * size, len(built.data.splits["train"])) + rest * size
    seconds = run_monitor.at.seconds
    return round(examples / seconds, 1) if seconds else None


def data_fingerprint(data: Data) -> dict[str, Any]:
    """Return the number of rows and a hash of all numbers of each split."""
    with Stage(f"hashing {rows_text(data.splits)}"):
        return {name: split_fingerprint(data, name) for name in data.splits}


def split_fingerprint(data: Data, split: str) -> dict[str, Any]:
    """Return the number of rows and a hash of all numbers of a split, of all streams."""
    digest = hashlib.sha256()
    for stream, other in (data.streams or {"": data}).items():
        digest.update(stream.encode())
        for name, array in other.splits[split].arrays().items() if split in other.splits else ():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.data.cast("B") if array.size else b"")
    return {"rows": len(data.splits[split]), "sha256": digest.hexdigest()}
