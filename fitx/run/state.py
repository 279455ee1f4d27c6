"""Every number of a step, by name: what a checkpoint holds and what is read back from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from fitx.errors import StorageError
from fitx.step import Step

State = dict[str, np.ndarray]


def variables(step: Step) -> dict[str, Any]:
    """Return every variable of a step: networks, optimizers, metrics, its own; by unique path."""
    named: dict[str, Any] = {}
    for name, network in step.networks.items():
        named.update(_named(f"networks/{name}", network.variables))
    for name, optimizer in step.network_optimizers.items():
        named.update(_named(f"optimizers/{name}", optimizer.variables))
    for mode, log in step.logs.items():
        for name, mean in log.means.items():
            named.update(_named(f"means/{mode}/{name}", mean.variables))
    known = {id(variable) for variable in named.values()}
    own = [*step.variables, *step.metrics_variables]
    named.update(_named("step", (v for v in own if id(v) not in known)))
    return named


def capture(named: dict[str, Any]) -> State:
    """Copy variables to arrays; waits for the device."""
    return {name: np.array(keras.ops.convert_to_numpy(v)) for name, v in named.items()}


def network_state(step: Step) -> State:
    """Copy the variables of the networks alone, as the best weights so far are kept."""
    return capture({k: v for k, v in variables(step).items() if k.startswith("networks/")})


def assign(named: dict[str, Any], state: State) -> None:
    """Set variables from arrays.

    Raises:
        StorageError: A variable is missing from the state, or has another shape or dtype.
    """
    for name, variable in named.items():
        array = state.get(name)
        if array is None:
            raise StorageError(f"the checkpoint lacks '{name}', which the experiment builds.")
        if array.shape != tuple(variable.shape):
            found, expected = array.shape, tuple(variable.shape)
            raise StorageError(f"the checkpoint's '{name}' is {found}; it should be {expected}.")
        variable.assign(array)


def _named(prefix: str, some: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    counts: dict[str, int] = {}
    for variable in some:
        path = f"{prefix}/{variable.path}"
        counts[path] = counts.get(path, 0) + 1
        yield (path if counts[path] == 1 else f"{path}#{counts[path]}"), variable
