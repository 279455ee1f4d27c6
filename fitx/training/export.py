"""Saves the trained networks as Keras files, which load without fitx."""

from __future__ import annotations

import os
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FunctionType
from typing import Any

import keras

from fitx.checkpoint.state_names import NETWORKS
from fitx.experiment.experiment import Experiment
from fitx.experiment.plugin_import import PACKAGE
from fitx.experiment.problems import listed
from fitx.rundir.files import storage_errors
from fitx.safe_files import sync_folder
from fitx.step import Step
from fitx.training.plan import own_variables
from fitx.training.state.best_epoch import BestEpoch
from fitx.training.state.variables import assign, capture, network_variables

KNOWN_PACKAGES = ("builtins", "keras", "keras_hub", "keras_cv", "keras_nlp")
"""Packages whose classes Keras finds by itself when it loads a file."""

_Date = tuple[int, int, int, int, int, int]

FIRST_DATE: _Date = (1980, 1, 1, 0, 0, 0)
LAST_DATE: _Date = (2107, 12, 31, 23, 59, 58)
"""The range of dates that a zip archive can hold."""


def savable_networks(step: keras.Model) -> dict[str, keras.Model]:
    """Return the networks that can be saved as Keras files, by name."""
    networks = step.execution.contents.networks
    return {name: network for name, network in networks.items() if not _obstacle(network)}


def unsaved_notes(step: keras.Model) -> Iterator[str]:
    """Yield a note on each network, and on layers of the step itself, that get no Keras file."""
    networks = step.execution.contents.networks
    for name, network in networks.items():
        obstacle = _obstacle(network)
        if obstacle:
            text = f"networks/ gets no file of '{name}', which is kept in the checkpoints"
            yield f"{text} alone: {obstacle}"
    own = own_variables(step)
    if own:
        text = f"networks/ gets no file of the step's own layers ({own[0].path} and others)"
        yield f"{text}, which are kept in the checkpoints alone"


def _obstacle(network: keras.Model) -> str:
    """Return the reason why a network cannot be saved as a Keras file; empty if it can."""
    if not network.built:
        return "it has not been built"
    try:
        keras.saving.serialize_keras_object(network)
    except (TypeError, ValueError, NotImplementedError) as error:
        return " ".join(str(error).split())
    return ""


def save_networks(step: Step, folder: Path, best: BestEpoch | None) -> None:
    """Save each network to `<folder>/<name>.keras`, and as it was at its best epoch to `best/`.

    Without a best epoch, files of earlier parts of the run are removed from `best/`.

    Raises:
        StorageError: A file cannot be written.
    """
    _save(step, folder)
    if best is None:
        _remove_best(folder)
        return
    variable_by_name = network_variables(step)
    final = capture(variable_by_name)
    try:
        assign(variable_by_name, {k: v for k, v in best.weights.items() if k.startswith(NETWORKS)})
        _save(step, folder / "best")
    finally:
        assign(variable_by_name, final)


def _remove_best(folder: Path) -> None:
    with storage_errors("remove", folder / "best"):
        for file in (folder / "best").glob("*.keras"):
            file.unlink()
        # The folder stays if it holds files that fitx did not write.
        with suppress(OSError):
            (folder / "best").rmdir()


def _save(step: Step, folder: Path) -> None:
    with storage_errors("write", folder):
        folder.mkdir(exist_ok=True)
    for name, network in savable_networks(step).items():
        with storage_errors("write", folder / f"{name}.keras"):
            _save_atomically(network, folder / f"{name}.keras")


def _save_atomically(network: keras.Model, path: Path) -> None:
    # Networks in a list have names such as `heads/0`.
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        network.save(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def dates_within_range() -> Iterator[None]:
    """Let `zipfile` write the nearest possible date where it would raise an error.

    A machine without a battery for its clock starts in 1970. A Keras file is a zip archive whose
    members get the current time, and Keras has no option for another one.
    """
    if FIRST_DATE[0] <= time.gmtime(time.time()).tm_year <= LAST_DATE[0]:
        yield
        return
    original = zipfile.ZipInfo.__init__

    def within_range(
        self: zipfile.ZipInfo, filename: str = "NoName", date_time: _Date = FIRST_DATE
    ) -> None:
        original(self, filename, min(max(date_time, FIRST_DATE), LAST_DATE))

    zipfile.ZipInfo.__init__ = within_range  # type: ignore[method-assign]
    try:
        yield
    finally:
        zipfile.ZipInfo.__init__ = original  # type: ignore[method-assign]


def custom_object_notes(experiment: Experiment, step: Step) -> Iterator[str]:
    """Yield a note on each network whose file loads only after code of a plugin was imported."""
    functions = dict(_plugin_functions(experiment))
    for network, model in savable_networks(step).items() if experiment.plugins else ():
        config = keras.saving.serialize_keras_object(model)
        by_source: dict[str, list[str]] = {}
        for name, source in dict.fromkeys(_custom_objects(config, functions)):
            by_source.setdefault(source, []).append(name)
        for source, names in by_source.items():
            yield (
                f"networks/{network}.keras refers to {listed(names)} of {source}: import that "
                "before loading it, as docs/steps.md shows"
            )


def _custom_objects(config: Any, functions: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield name and source of everything that a network's configuration takes from elsewhere."""
    if isinstance(config, dict):
        module, name = config.get("module"), config.get("class_name")
        if (module, name) == ("builtins", "function") and config.get("config") in functions:
            yield config["config"].rpartition(">")[2], functions[config["config"]]
        elif isinstance(module, str) and not _is_known(module):
            yield str(name), _source(module)
    if isinstance(config, dict | list | tuple):
        for inner in config.values() if isinstance(config, dict) else config:
            yield from _custom_objects(inner, functions)


def _plugin_functions(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Yield the functions of the plugins: the name that Keras saves, and the file."""
    for path in experiment.plugins:
        for member in vars(sys.modules[f"{PACKAGE}.{path.stem}"]).values():
            if isinstance(member, FunctionType) and not _is_known(member.__module__):
                yield keras.saving.get_registered_name(member), _source(member.__module__)


def _is_known(module: str) -> bool:
    return module.partition(".")[0] in KNOWN_PACKAGES


def _source(module: str) -> str:
    package, _, stem = module.partition(".")
    return f"{stem}.py" if package == PACKAGE else module
