"""Reads the weights that runs ended with, and lets networks start with them."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fitx import checkpoint
from fitx.checkpoint import Newest
from fitx.checkpoint.state_file import State
from fitx.checkpoint.state_names import BEST, FINAL, NETWORKS, numbered_names, part
from fitx.engine.replicas.replica_variables import array_spec, assign_array
from fitx.engine.resources.untracked import untracked_variables
from fitx.errors import StorageError, UsageError
from fitx.experiment.after import NetworkSource
from fitx.experiment.experiment import Experiment
from fitx.experiment.problems import listed, nearest
from fitx.rundir import record
from fitx.rundir.checkpoint_meta_checks import parse_meta
from fitx.rundir.saved_experiment import refuse_links
from fitx.stages import Stage

_MOST_MISMATCHES = 5
"""The most mismatches of one network that a message lists."""


@dataclass(frozen=True)
class InitialWeights:
    """The weights with which one network starts.

    Attributes:
        source: The key of the experiment, and the run that it names.
        network: The network of the run.
        checkpoint: The name of the checkpoint's folder.
        sha256: The hash of the weights.
        arrays: The weights by path; empty once they are assigned.
    """

    source: NetworkSource
    network: str
    checkpoint: str
    sha256: str
    arrays: State = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the origin of the weights as run.json records it."""
        run = self.source.folder or Path()
        return {
            "run": str(run),
            "id": record.load(run)["id"],
            "network": self.network,
            "weights": self.source.weights,
            "checkpoint": self.checkpoint,
            "sha256": self.sha256,
        }


def read_trained(run: Path, weights: str) -> Newest:
    """Return the newest valid checkpoint of a run, with the weights that are asked for.

    Args:
        run: The run folder.
        weights: "last" for the state that the run ended with, "best" for that of its best epoch.

    Raises:
        StorageError: No checkpoint of the run is valid.
        UsageError: The run keeps no best epoch.
    """
    newest = checkpoint.newest(run / "checkpoints", record.load(run)["id"], parse_meta)
    if newest is None:
        raise StorageError(f"{run} holds no checkpoint yet.")
    best = part(newest.state, BEST)
    if weights == "best" and not best:
        raise UsageError(f"{run} keeps no best epoch; train with checkpoint.monitor set.")
    chosen = best if weights == "best" else part(newest.state, FINAL)
    return replace(newest, state={**newest.state, **chosen})


def read_initial_weights(experiment: Experiment) -> dict[str, InitialWeights]:
    """Return the weights of the runs that the key `after` names, by the network that gets them.

    Raises:
        ConfigError: A run has no network of that name, or keeps no best epoch.
        StorageError: No checkpoint of a run is valid.
    """
    initial: dict[str, InitialWeights] = {}
    for source in experiment.sources:
        with Stage(f"reading the networks of {source.run}"):
            trained = _read(experiment, source)
        names = list(dict.fromkeys(n.partition("/")[0] for n in part(trained.state, NETWORKS)))
        for network, name in _pairs(experiment, source, names).items():
            arrays = part(trained.state, f"{NETWORKS}{name}/")
            folder, digest = trained.folder.name, _sha256(arrays)
            initial[network] = InitialWeights(source, name, folder, digest, arrays)
    return initial


def assign_initial_weights(
    experiment: Experiment, name: str, network: keras.Model, initial: InitialWeights
) -> None:
    """Set the weights of a network. Raises ConfigError, with both shapes, if they do not fit."""
    prefix = f"{NETWORKS}{name}/"
    names = {n.removeprefix(prefix): v for n, v in numbered_names(prefix[:-1], network.variables)}
    weight_ids = {id(weight) for weight in network.weights}
    weights = {path: v for path, v in names.items() if id(v) in weight_ids}
    weights |= dict(untracked_variables(network))
    problems = list(_mismatches(weights, initial.arrays, {*weights, *names}))
    if problems:
        more = len(problems) - _MOST_MISMATCHES
        problems = problems[:_MOST_MISMATCHES] + ([f"and {more} more"] if more > 0 else [])
        text = f"the network '{initial.network}' of {initial.source.run} does not fit '{name}': "
        raise experiment.error(initial.source.path, f"{text}{'; '.join(problems)}.")
    for path, variable in weights.items():
        assign_array(variable, initial.arrays[path].astype(array_spec(variable).dtype.name))


def initial_weight_notes(
    experiment: Experiment, initial: dict[str, InitialWeights]
) -> Iterator[str]:
    """Yield a note on each network that starts with the weights of a run, and on all others."""
    for name, weights in initial.items():
        epoch = "the best epoch" if weights.source.weights == "best" else "the end"
        yield (
            f"{name} starts with the weights of '{weights.network}' of {weights.source.folder}, "
            f"from {epoch} (checkpoint {weights.checkpoint})"
        )
    others = [name for name in experiment.networks if name not in {*initial, *experiment.copies}]
    if initial and others:
        verb = "starts" if len(others) == 1 else "start"
        yield f"{listed(others)} {verb} with new weights"


def _sha256(arrays: State) -> str:
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read(experiment: Experiment, source: NetworkSource) -> Newest:
    run = source.folder or Path()
    refuse_links(run)
    try:
        return read_trained(run, source.weights)
    except UsageError as error:
        raise experiment.error(source.path, str(error)) from error


def _pairs(experiment: Experiment, source: NetworkSource, names: list[str]) -> dict[str, str]:
    """Return the networks of a run by the network of the experiment that gets their weights."""
    if source.network is None:
        pairs = {name: name for name in experiment.networks if name in names}
        if not pairs:
            text = (
                f"the run has {listed(names)}, the experiment {listed(list(experiment.networks))}; "
            )
            text += "write `after: {NETWORK: RUN:NETWORK}` for networks with different names."
            raise experiment.error(source.path, text)
        return pairs
    only = names[0] if len(names) == 1 else source.network
    wanted = source.source or (source.network if source.network in names else only)
    if wanted not in names:
        text = f"the run has no network '{wanted}'; it has {listed(names)}.{nearest(wanted, names)}"
        raise experiment.error(source.path, text)
    return {source.network: wanted}


def _mismatches(weights: dict[str, Any], arrays: State, names: Container[str]) -> Iterator[str]:
    for path, variable in weights.items():
        shape = tuple(variable.shape)
        if path not in arrays:
            yield f"it has no '{path}'"
        elif arrays[path].shape != shape:
            yield f"'{path}' has the shape {arrays[path].shape} there and {shape} here"
    for path, array in arrays.items():
        # The states of random generators are integers.
        if path not in names and array.dtype.kind not in "iu":
            yield f"its '{path}' is missing here"
