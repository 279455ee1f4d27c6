"""Every number of a step, by name: what a checkpoint holds and what is read back from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fitx.engine.replicas import replica_variables
from fitx.engine.resources import tables
from fitx.engine.step_graph import held, written
from fitx.errors import StorageError
from fitx.step import Step
from fitx.training.state.attributes import untracked_variables

State = dict[str, np.ndarray]

NETWORKS, OPTIMIZERS = "networks/", "optimizers/"
"""How the names of the networks' and of the optimizers' variables begin."""

MODEL = (NETWORKS, "step/", "graph/")
"""How the names of all variables begin that an evaluation may depend on, whatever it reads."""

GATHERED = ("metrics/", "means/")
"""How the names of variables begin that start anew with each epoch and each evaluation."""

MOST = 5
"""Differences that one message tells."""


def variables(step: Step) -> dict[str, Any]:
    """Return every variable of a step: networks, optimizers, metrics, its own; by unique path.

    Plain variables of TensorFlow are known by the attributes that hold them. What else the graphs
    hold, once the step is traced, comes last: variables of modules, those of Keras' global random
    generator, lookup tables.
    """
    named: dict[str, Any] = {}
    for name, network in step.networks.items():
        named.update(_named(f"{NETWORKS}{name}", network.variables))
        named.update((f"{NETWORKS}{name}/{path}", v) for path, v in untracked_variables(network))
    for name, optimizer in step.network_optimizers.items():
        named.update(_named(f"{OPTIMIZERS}{name}", optimizer.variables))
    for mode, log in step.logs.items():
        for name, mean in log.means.items():
            named.update(_named(f"means/{mode}/{name}", mean.variables))
    known = {id(variable) for variable in named.values()}
    named.update(_named("metrics", _unseen(step.metrics_variables, known)))
    named.update(_named("step", _unseen(step.variables, known)))
    plain = (item for item in untracked_variables(step) if id(item[1]) not in known)
    named.update((f"step/{path}", variable) for path, variable in plain)
    known = {id(copy) for variable in named.values() for copy in replica_variables.of(variable)}
    # Those of an evaluation first: one that traces nothing else finds them by the same names.
    graphs = [*step.execution.graphs("test"), *step.execution.graphs("train")]
    named.update(_named("graph", [*_unseen(held(graphs), known), *tables.held(graphs)]))
    return named


def model_variables(step: Step) -> dict[str, Any]:
    """Return the variables that make up what is measured: all that an evaluation depends on.

    These are the networks, layers and variables of the step, random generators, and what else its
    `test_step` uses, such as a learning rate; but no metrics, which begin anew.
    """
    named = variables(step)
    graphs = step.execution.graphs("test")
    tested = [*held(graphs), *tables.held(graphs)]
    used = {id(copy) for variable in tested for copy in replica_variables.of(variable)}
    return {
        name: variable
        for name, variable in named.items()
        if name.startswith(MODEL)
        or (
            not name.startswith(GATHERED) and used & {id(c) for c in replica_variables.of(variable)}
        )
    }


def changed_by_test(step: Step, named: dict[str, Any]) -> dict[str, Any]:
    """Return those of the variables that an evaluation may change; metrics at least, it resets."""
    changed = _changed_by_test(step) | _reset(step)
    return {
        k: v for k, v in named.items() if changed & {id(copy) for copy in replica_variables.of(v)}
    }


def test_changes_only_metrics(step: Step) -> bool:
    """Whether an evaluation changes metrics alone: it draws no random numbers, for example."""
    return _changed_by_test(step) <= _reset(step)


def _changed_by_test(step: Step) -> set[int]:
    graphs = step.execution.graphs("test")
    changed = [v for graph in graphs for v in (*written(graph), *tables.written(graph))]
    return {id(copy) for variable in changed for copy in replica_variables.of(variable)}


def _reset(step: Step) -> set[int]:
    """Return the ids of metrics' variables, which begin anew with each epoch."""
    means = [mean for log in step.logs.values() for mean in log.means.values()]
    reset = [*step.metrics_variables, *(variable for mean in means for variable in mean.variables)]
    return {id(copy) for variable in reset for copy in replica_variables.of(variable)}


def network_variables(step: Step) -> dict[str, Any]:
    """Return the variables of the networks alone."""
    return {k: v for k, v in variables(step).items() if k.startswith(NETWORKS)}


def capture(named: dict[str, Any]) -> State:
    """Copy variables to arrays; waits for the device."""
    return {name: replica_variables.to_array(variable) for name, variable in named.items()}


def network_state(step: Step) -> State:
    """Copy the variables of the networks alone."""
    return capture(network_variables(step))


def assign(named: dict[str, Any], state: State) -> None:
    """Set variables from arrays of the same names; nothing is set unless all fit.

    Raises:
        StorageError: A variable is missing on either side, or has another shape or dtype.
    """
    problems = differences(named, state)
    if problems:
        raise StorageError(problems)
    for name, variable in named.items():
        replica_variables.assign(variable, state[name])


def differences(named: dict[str, Any], state: State) -> str:
    """Return how a state does not fit variables, a line each; empty if it fits."""
    problems = list(_differences(named, state))
    more = [f"and {len(problems) - MOST} more."] if len(problems) > MOST else []
    return "\n".join([*problems[:MOST], *more])


def _differences(named: dict[str, Any], state: State) -> Iterator[str]:
    for name in sorted(named.keys() - state.keys()):
        yield f"the checkpoint lacks '{name}', which the experiment builds."
    for name in sorted(state.keys() - named.keys()):
        yield f"the checkpoint holds '{name}', which the experiment does not build."
    for name in sorted(named.keys() & state.keys()):
        array, expected = state[name], replica_variables.spec(named[name])
        is_alike = array.dtype.name == expected.dtype.name
        if not is_alike or not expected.shape.is_compatible_with(array.shape):
            found = f"{array.dtype.name} {array.shape}"
            sizes = "of any rank" if expected.shape.rank is None else tuple(expected.shape)
            built = f"{expected.dtype.name} {sizes}"
            yield f"the checkpoint's '{name}' is {found}; the experiment builds {built}."
            continue
        try:
            replica_variables.demand_fit(named[name], array)
        except StorageError as error:
            yield f"the checkpoint's '{name}': {error}."


def _unseen(some: Iterable[Any], known: set[int]) -> Iterator[Any]:
    for variable in some:
        if id(variable) not in known:
            known.add(id(variable))
            yield variable


def _named(prefix: str, some: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    counts: dict[str, int] = {}
    for variable in some:
        path = f"{prefix}/{getattr(variable, 'path', variable.name)}"
        counts[path] = counts.get(path, 0) + 1
        yield (path if counts[path] == 1 else f"{path}#{counts[path]}"), variable
