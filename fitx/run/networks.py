"""The trained networks as plain Keras files, which load without fitx."""

from __future__ import annotations

import os
from pathlib import Path

import keras

from fitx.run.best import BestEpoch
from fitx.run.state import assign, network_state, variables
from fitx.rundir.files import storage_errors
from fitx.step import Step


def save_networks(step: Step, folder: Path, best: BestEpoch | None) -> None:
    """Write each network to `<folder>/<name>.keras`, and as it was at its best to `best/`.

    Raises:
        StorageError: A file cannot be written.
    """
    _save(step, folder)
    if best is None:
        return
    named = {k: v for k, v in variables(step).items() if k.startswith("networks/")}
    final = network_state(step)
    try:
        assign(named, best.weights)
        _save(step, folder / "best")
    finally:
        assign(named, final)


def _save(step: Step, folder: Path) -> None:
    for name, network in step.networks.items():
        with storage_errors("write", folder / f"{name}.keras"):
            folder.mkdir(exist_ok=True)
            _save_atomically(network, folder, name)


def _save_atomically(network: keras.Model, folder: Path, name: str) -> None:
    temporary = folder / f".tmp-{name}.keras"
    try:
        network.save(temporary)
        os.replace(temporary, folder / f"{name}.keras")
    finally:
        temporary.unlink(missing_ok=True)
