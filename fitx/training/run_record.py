"""What a run is, before it starts: its files, its run.json, and the line that people read."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path
from typing import Any

import keras

from fitx.build.built import BuiltExperiment
from fitx.build.preflight.activations import last_activation
from fitx.data.prepare import Data
from fitx.data.splits import Split, rows_text
from fitx.experiment.checks.paths import input_files
from fitx.experiment.dump import dump
from fitx.experiment.experiment import Experiment
from fitx.rundir import record, run_environment
from fitx.rundir.files import write_atomically
from fitx.rundir.fingerprint import fingerprints
from fitx.rundir.provenance import Provenance
from fitx.rundir.record import Record
from fitx.runtime import Runtime
from fitx.stages import Stage
from fitx.training.progress import Plan
from fitx.training.result import relative_to_cwd
from fitx.training.resumption import env_seals


def write(
    run: Path, built: BuiltExperiment, device: Runtime, origin: Provenance, data: dict[str, Any]
) -> Record:
    """Write source/, experiment.yaml and run.json of a run that is about to start.

    Args:
        run: The run's folder.
        built: What is to be trained.
        device: What computes.
        origin: Where the experiment comes from.
        data: The data's fingerprint; of much data it takes seconds, so it is had before.

    Raises:
        StorageError: A file cannot be written.
    """
    experiment = built.experiment
    copies = origin.copy(run / "source")
    where = {path: copies[path].relative_to(run).as_posix() for path in experiment.plugins}
    write_atomically(run / "experiment.yaml", dump(experiment, plugins=list(where.values())))
    facts: dict[str, Any] = {
        "name": experiment.name,
        "id": secrets.token_hex(8),
        **run_environment.describe_environment(),
        "git": origin.git(),
        "device": device.description,
        **computing(built, device),
        "seed": experiment.seed,
        "smoke": experiment.is_smoke,
        "data": data,
        "plugins": {name: origin.sha256(path) for path, name in where.items()},
        "files": fingerprints(input_files(experiment)),
        "references": env_seals.seal(experiment),
        "last": None,
        "best": None,
    }
    return record.start(run, facts)


def computing(built: BuiltExperiment, device: Runtime) -> dict[str, Any]:
    """Return what of the device and the execution decides the bits of the results."""
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


def plan(built: BuiltExperiment, run: Path, device: Runtime) -> Plan:
    """Return what a display shows before the first step."""
    rows, execution = len(built.data.splits["train"]), built.step.execution.plan
    data = f"{rows:,} examples, {built.steps_per_epoch:,} steps an epoch"
    if built.unmeasured:
        data += f"; without a test_step nothing measures {' and '.join(built.unmeasured)}"
    return Plan(
        title=built.experiment.name,
        run=str(relative_to_cwd(run)),
        device=device.description,
        epochs=built.experiment.fit.epochs,
        steps=built.steps_per_epoch,
        summary=summary(built, data),
        mode=f"{execution.modes['train'].name}: {execution.why.get('train', '')}",
    )


def summary(built: BuiltExperiment, data: str) -> str:
    """Return one line on the parts: step, networks, optimizers, and the data as it is given."""
    experiment = built.experiment
    networks = [
        f"{name} {experiment.networks[name].name}{_head(experiment, name, network)}, "
        f"{network.count_params():,} parameters{_untrained(built, name)}"
        for name, network in built.step.networks.items()
    ]
    optimizers = dict.fromkeys(part.name for part in experiment.optimizers.values())
    parts = [", ".join(networks), ", ".join(optimizers), data]
    return f"{experiment.step.name}: {'; '.join(filter(None, parts))}"


def _untrained(built: BuiltExperiment, network: str) -> str:
    """Say that a training leaves a network as it is."""
    if not built.experiment.optimizers:
        return ""
    if network not in built.experiment.optimizers:
        return ", frozen"
    is_traced = bool(built.step.execution.logs["train"].names)
    is_applied = network in built.step.execution.usage.applied
    return ", never updated by train_step" if is_traced and not is_applied else ""


def _head(experiment: Experiment, name: str, network: keras.Model) -> str:
    """Say what a network ends in, if that follows from the loss and the labels by default."""
    part = experiment.networks[name]
    signature = experiment.part_index.signature(part.kind, part.name)
    if signature is None or not (signature.get("outputs") or signature.get("output_activation")):
        return ""
    # A subclassed network has no shapes of its own, one of several outputs has several.
    shape = getattr(network, "output_shape", None)
    if not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        return ""
    outputs, activation = shape[-1], last_activation(network)
    kind = f"{activation} " if activation else ""
    return f", {outputs} {kind}output{'' if outputs == 1 else 's'}"


def fingerprint(data: Data) -> dict[str, Any]:
    """Return, by split, the rows and a hash of every number, by which the data is known again."""
    with Stage(f"hashing {rows_text(data.splits)}"):
        return {name: split_fingerprint(split) for name, split in data.splits.items()}


def split_fingerprint(split: Split) -> dict[str, Any]:
    """Return the rows of a split and a hash of every number in it."""
    digest = hashlib.sha256()
    for name, array in split.arrays().items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return {"rows": len(split), "sha256": digest.hexdigest()}
