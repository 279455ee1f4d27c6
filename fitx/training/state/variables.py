"""Names the variables of a step, copies them to arrays and sets them from arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fitx.checkpoint.state_names import NETWORKS, OPTIMIZERS, numbered_names
from fitx.engine.replicas import replica_variables
from fitx.engine.resources import tables
from fitx.engine.resources.untracked import untracked_variables
from fitx.engine.step_graph import assigned_variables, captured_variables
from fitx.errors import StorageError
from fitx.step import Step

State = dict[str, np.ndarray]

MODEL = (NETWORKS, "step/", "graph/")
"""Prefixes of the variables that every evaluation may depend on."""

RESET_EACH_EPOCH = ("metrics/", "means/")
"""Prefixes of the variables that are reset before each epoch and each evaluation."""

MOST_MISMATCHES = 5
"""The most mismatches that one message lists."""


def variables(step: Step) -> dict[str, Any]:
    """Return every variable of a step by a unique path: networks, optimizers, metrics, its own.

    Variables that Keras does not track are named after the attributes that hold them. Those that
    only the traced graphs hold come last: variables of modules, of Keras' global random generator,
    and lookup tables.
    """
    variable_by_name: dict[str, Any] = {}
    for name, network in step.execution.contents.networks.items():
        variable_by_name.update(numbered_names(f"{NETWORKS}{name}", network.variables))
        variable_by_name.update(
            (f"{NETWORKS}{name}/{path}", v) for path, v in untracked_variables(network)
        )
    for name, optimizer in step.execution.contents.optimizers.items():
        variable_by_name.update(numbered_names(f"{OPTIMIZERS}{name}", optimizer.variables))
    for mode, log in step.execution.logs.items():
        for name, mean in log.means.items():
            variable_by_name.update(numbered_names(f"means/{mode}/{name}", mean.variables))
    seen_ids = {id(variable) for variable in variable_by_name.values()}
    variable_by_name.update(numbered_names("metrics", _new(step.metrics_variables, seen_ids)))
    variable_by_name.update(numbered_names("step", _new(step.variables, seen_ids)))
    untracked = (item for item in untracked_variables(step) if id(item[1]) not in seen_ids)
    variable_by_name.update((f"step/{path}", variable) for path, variable in untracked)
    seen_ids = replica_variables.copy_ids(variable_by_name.values())
    # Those of the evaluation come first, so that `fitx evaluate`, which traces nothing else, gives
    # them the same names.
    graphs = [*step.execution.graphs("test"), *step.execution.graphs("train")]
    captured = [*_new(captured_variables(graphs), seen_ids), *tables.captured_tables(graphs)]
    variable_by_name.update(numbered_names("graph", captured))
    return variable_by_name


def model_variables(step: Step) -> dict[str, Any]:
    """Return the variables that an evaluation depends on.

    These are the networks, layers and variables of the step, random generators, and whatever else
    its `test_step` uses, such as a learning rate. Metrics are left out: they are reset.
    """
    variable_by_name = variables(step)
    graphs = step.execution.graphs("test")
    captured = [*captured_variables(graphs), *tables.captured_tables(graphs)]
    used = replica_variables.copy_ids(captured)
    return {
        name: variable
        for name, variable in variable_by_name.items()
        if name.startswith(MODEL)
        or (not name.startswith(RESET_EACH_EPOCH) and used & replica_variables.copy_ids([variable]))
    }


def changed_by_test(step: Step, variable_by_name: dict[str, Any]) -> dict[str, Any]:
    """Return the variables that an evaluation may change; always the metrics, which it resets."""
    changed = _changed_by_test(step) | _reset(step)
    return {k: v for k, v in variable_by_name.items() if changed & replica_variables.copy_ids([v])}


def test_changes_only_metrics(step: Step) -> bool:
    """Return whether an evaluation changes nothing but metrics; drawing random numbers does."""
    return _changed_by_test(step) <= _reset(step)


def _changed_by_test(step: Step) -> set[int]:
    graphs = step.execution.graphs("test")
    changed = [
        v for graph in graphs for v in (*assigned_variables(graph), *tables.changed_tables(graph))
    ]
    return replica_variables.copy_ids(changed)


def _reset(step: Step) -> set[int]:
    """Return the ids of the metrics' variables, which are reset before each epoch."""
    means = [mean for log in step.execution.logs.values() for mean in log.means.values()]
    reset = [*step.metrics_variables, *(variable for mean in means for variable in mean.variables)]
    return replica_variables.copy_ids(reset)


def network_variables(step: Step) -> dict[str, Any]:
    """Return the variables of the networks."""
    return {k: v for k, v in variables(step).items() if k.startswith(NETWORKS)}


def capture(variable_by_name: dict[str, Any]) -> State:
    """Copy variables to arrays; waits for the device."""
    return {
        name: replica_variables.to_array(variable) for name, variable in variable_by_name.items()
    }


def network_state(step: Step) -> State:
    """Copy the variables of the networks to arrays."""
    return capture(network_variables(step))


def assign(variable_by_name: dict[str, Any], state: State) -> None:
    """Set variables from arrays of the same names; sets none unless all fit.

    Raises:
        StorageError: A variable is missing on either side, or has another shape or dtype.
    """
    problems = mismatches(variable_by_name, state)
    if problems:
        raise StorageError(problems)
    for name, variable in variable_by_name.items():
        replica_variables.assign_array(variable, state[name])


def mismatches(variable_by_name: dict[str, Any], state: State) -> str:
    """Return a line for each mismatch between variables and a state; empty if they fit."""
    problems = list(_mismatches(variable_by_name, state))
    more = (
        [f"and {len(problems) - MOST_MISMATCHES} more."] if len(problems) > MOST_MISMATCHES else []
    )
    return "\n".join([*problems[:MOST_MISMATCHES], *more])


def _mismatches(variable_by_name: dict[str, Any], state: State) -> Iterator[str]:
    for name in sorted(variable_by_name.keys() - state.keys()):
        yield f"the checkpoint lacks '{name}', which the experiment builds."
    for name in sorted(state.keys() - variable_by_name.keys()):
        yield f"the checkpoint holds '{name}', which the experiment does not build."
    for name in sorted(variable_by_name.keys() & state.keys()):
        array, expected = state[name], replica_variables.array_spec(variable_by_name[name])
        is_alike = array.dtype.name == expected.dtype.name
        if not is_alike or not expected.shape.is_compatible_with(array.shape):
            saved = f"{array.dtype.name} {array.shape}"
            sizes = "of any rank" if expected.shape.rank is None else tuple(expected.shape)
            built = f"{expected.dtype.name} {sizes}"
            yield f"the checkpoint's '{name}' is {saved}; the experiment builds {built}."
            continue
        try:
            replica_variables.check_packed(variable_by_name[name], array)
        except StorageError as error:
            yield f"the checkpoint's '{name}': {error}."


def _new(candidates: Iterable[Any], seen_ids: set[int]) -> Iterator[Any]:
    """Yield the variables that are not among those seen before, and add their ids."""
    for variable in candidates:
        if id(variable) not in seen_ids:
            seen_ids.add(id(variable))
            yield variable
