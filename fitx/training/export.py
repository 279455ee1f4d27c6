"""The trained networks as Keras files, which need fitx only for what plugins define."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import keras

from fitx.disk import sync_folder
from fitx.errors import UserCodeError
from fitx.rundir.files import storage_errors
from fitx.step import Step
from fitx.training.state.best_epoch import BestEpoch
from fitx.training.state.variables import NETWORKS, assign, capture, network_variables


def refuse_unsavable(step: Step) -> None:
    """Find out before hours of training whether the networks can be written as Keras files.

    Raises:
        UserCodeError: One cannot; with the network's name and what Keras says.
    """
    for name, network in step.networks.items():
        try:
            keras.saving.serialize_keras_object(network)
        except (TypeError, ValueError, NotImplementedError) as error:
            reason = " ".join(str(error).split())
            text = f"network '{name}' cannot be saved as a Keras file: {reason}"
            raise UserCodeError(text) from error


def save_networks(step: Step, folder: Path, best: BestEpoch | None) -> None:
    """Write each network to `<folder>/<name>.keras`, and as it was at its best to `best/`.

    Without a best epoch there is no `best/` afterwards.

    Raises:
        StorageError: A file cannot be written.
    """
    _save(step, folder)
    if best is None:
        _remove_best(folder)
        return
    named = network_variables(step)
    final = capture(named)
    try:
        assign(named, {k: v for k, v in best.weights.items() if k.startswith(NETWORKS)})
        _save(step, folder / "best")
    finally:
        assign(named, final)


def _remove_best(folder: Path) -> None:
    """Remove the best networks of an earlier part of the run, which no longer has a best epoch."""
    with storage_errors("remove", folder / "best"):
        for file in (folder / "best").glob("*.keras"):
            file.unlink()
        # Files of others may be there; without one of ours the folder says nothing of this run.
        with suppress(OSError):
            (folder / "best").rmdir()


def _save(step: Step, folder: Path) -> None:
    with storage_errors("write", folder):
        folder.mkdir(exist_ok=True)
    for name, network in step.networks.items():
        with storage_errors("write", folder / f"{name}.keras"):
            _save_atomically(network, folder, name)


def _save_atomically(network: keras.Model, folder: Path, name: str) -> None:
    temporary = folder / f".tmp-{name}.keras"
    try:
        network.save(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, folder / f"{name}.keras")
        sync_folder(folder)
    finally:
        temporary.unlink(missing_ok=True)
