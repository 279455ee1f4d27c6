"""Names the operation and the line of the user's code that first gave NaN or infinity in a run."""

from __future__ import annotations

import inspect
import linecache
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from fitx import checkpoint
from fitx.build.built import BuiltExperiment
from fitx.build.error_attribution import first_sentence
from fitx.checkpoint import Newest
from fitx.checkpoint.state_names import NETWORKS, OPTIMIZERS
from fitx.engine.replicas import replica_variables
from fitx.errors import Diverged, StorageError
from fitx.registry.kinds import SHARED_OPTIMIZER
from fitx.training.nan_search.replay import BadStep, Replay, ReplayLog
from fitx.training.result import relative_to_cwd
from fitx.training.state.finite import (
    ADVICE,
    first_non_finite,
    forbidden_values,
    non_finite_number,
    refuse_values,
)
from fitx.training.state.snapshot import Snapshot
from fitx.training.state.variables import RESET_EACH_EPOCH, capture, network_state

SEARCH_SECONDS = 600.0
"""The longest that a search takes."""


@dataclass(frozen=True)
class Failure:
    """A run that diverged, and what is needed to run its steps again.

    Args:
        error: The values or variables that are not finite, and when they were found.
        built: What was trained.
        variables: All that training changes, by name.
        log: The run's beginning and its learning rates.
        step: The number of the last step that ran.
        run: The run's folder.
        note: Shows a line to the user.
        stopped_by: Returns the name of the signal that asked to stop; empty while none has.
    """

    error: Diverged
    built: BuiltExperiment
    variables: Mapping[str, Any]
    log: ReplayLog
    step: int
    run: Path
    note: Callable[[str], None]
    stopped_by: Callable[[], str]


def refuse_measured(values: dict[str, float], split: str, built: BuiltExperiment) -> None:
    """Raise Diverged if a measured value is not finite, saying whether the networks are."""
    allow_nan = built.experiment.fit.allow_nan
    if not forbidden_values(values, allow_nan):
        return
    networks = network_state(built.step)
    name = first_non_finite(networks)
    if name is not None:
        more = f"'{name}' holds {non_finite_number(networks[name])}."
    else:
        more = "Every variable of the networks is finite: look at the data and the step."
    refuse_values(values, f"on the {split} split", more, allow_nan)


def explained(failure: Failure) -> Diverged:
    """Return the error that ended a run, with its cause, found by running steps again."""
    error, newest = failure.error, None
    with suppress(StorageError):
        newest = checkpoint.newest(failure.run / "checkpoints")
    advice = f"{ADVICE} {_way_on(failure, newest)}"
    if _is_outside_training(failure):
        text, advice = _OUTSIDE, _LOOK_OUTSIDE
    else:
        start = Snapshot(newest.state, newest.meta) if newest is not None else failure.log.start
        text = _cause(failure, start)
    if error.names and not any(name.endswith("loss") for name in error.names):
        advice = f"{advice} A value that may be NaN is named in fit.allow_nan."
    return Diverged(error.message, error.place, f"{text}\n{advice}", error.names)


def _is_outside_training(failure: Failure) -> bool:
    """Return whether only a validation or a callback gave values that are not finite."""
    trained = (NETWORKS, OPTIMIZERS)
    trained_values = {k: v for k, v in failure.variables.items() if k.startswith(trained)}
    has_names = bool(failure.error.names) and not _logged(failure)
    return has_names and first_non_finite(capture(trained_values)) is None


def _logged(failure: Failure) -> list[str]:
    """Return which of the values that are not finite are the training steps' own."""
    return [n for n in failure.error.names if n in failure.built.step.execution.logs["train"].names]


def _way_on(failure: Failure, newest: Newest | None) -> str:
    """Return from where the run can go on."""
    if newest is None:
        return "There is no checkpoint: it diverged before the first."
    names = list(failure.built.experiment.optimizers)
    key = "optimizer" if names in (["model"], [SHARED_OPTIMIZER]) else f"optimizers.{names[0]}"
    return (
        f"Checkpoint {newest.folder.name} is whole; `fitx resume {relative_to_cwd(failure.run)} "
        f"--allow-inexact {key}.learning_rate=...` goes on from it."
    )


def _cause(failure: Failure, start: Snapshot | None) -> str:
    """Find and describe the first operation with a result that is not finite."""
    if failure.built.experiment.execution.strategy == "multi_worker":
        return "The first operation is not looked for where several machines train."
    if start is None or start.meta["step"] >= failure.step:
        return "There is no earlier state from which to run its steps again."
    steps = f"steps {start.meta['step'] + 1:,} to {failure.step:,}"
    try:
        failure.note(f"diverged: running {steps} again, to find where it began")
        logged = _logged(failure)
        replay = Replay(failure.built, failure.variables, failure.log, start, logged)
        ends = time.monotonic() + SEARCH_SECONDS
        first_failure = replay.until_not_finite(
            failure.step, lambda: not failure.stopped_by() and time.monotonic() < ends
        )
        if first_failure is not None:
            return _described(failure, first_failure)
    except Exception as error:  # Whatever it is, the user must hear of the divergence.
        return f"Running {steps} again failed: {first_sentence(error)}"
    if replay.at.step < failure.step:
        reason = failure.stopped_by() or f"its limit of {SEARCH_SECONDS / 60:.0f} minutes"
        return f"Running {steps} again was stopped by {reason} after step {replay.at.step:,}."
    return _NOT_AGAIN.format(f"S{steps[1:]}")


_OUTSIDE = (
    "All that the training steps logged is finite, and so is every variable of the networks and "
    "optimizers."
)
_LOOK_OUTSIDE = "Look at the validation data, the step's `test_step` and the callbacks."
_NOT_AGAIN = (
    "{}, run again one by one and without XLA, gave finite numbers. That happens where training is "
    "not deterministic, where rounding or XLA's other random numbers decide, or where a callback "
    "changes variables."
)


def _described(failure: Failure, bad: BadStep) -> str:
    """Describe the first operation of a step whose result was not finite."""
    when = f"step {bad.step:,} (epoch {bad.epoch})"
    if not bad.operations:
        names = ", ".join(f"'{name}'" for name in bad.names[:3])
        return f"The first that is not finite is {names}, after {when}; {_NO_OPERATION}"
    operation = bad.operations[0]
    kind = "gradient operation" if operation.name.startswith(_GRADIENTS) else "operation"
    more = f"{_layer(operation, failure.variables)}{_line(operation, failure.built)}."
    if not any(name.startswith(RESET_EACH_EPOCH) for name in bad.names):
        more += f" The step left '{bad.names[0]}' not finite."
    text = f"The first {kind} with a result that is not finite is {operation.type} in {when}"
    return f"{text}{more}"


def _line(operation: tf.Operation, built: BuiltExperiment) -> str:
    """Return the innermost line beside the user's plugins, else of the step, that made it."""
    folders = {Path(path).parent for path in built.experiment.plugins}
    frames = list(operation.traceback)[::-1]
    users = [frame for frame in frames if Path(frame.filename).parent in folders]
    of_step = inspect.getsourcefile(type(built.step).train_step)
    for frame in users or [frame for frame in frames if frame.filename == of_step]:
        source = linecache.getline(frame.filename, frame.lineno).strip()
        return f", at {relative_to_cwd(Path(frame.filename))}:{frame.lineno}: `{source}`"
    return ""


def _layer(operation: tf.Operation, variables: Mapping[str, Any]) -> str:
    """Return the variable that the operation's layer reads; empty where none is found."""
    graph, scope = operation.graph, operation.name.removeprefix(_GRADIENTS)
    names = {
        id(copy): name
        for name, v in variables.items()
        for copy in replica_variables.local_copies(v)
    }
    outside = {id(v.handle): names.get(id(v), "") for v in graph.variables}
    inside = {id(tensor): outside.get(id(handle), "") for handle, tensor in graph.captures}
    reads = [op for op in graph.get_operations() if op.type == "ReadVariableOp"]
    while "/" in scope:
        scope = scope.rpartition("/")[0]
        # A layer reads its variables in a scope of its own, such as `dense/MatMul/ReadVariableOp`.
        of_scope = [op for op in reads if op.name.rsplit("/", 2)[0] == scope]
        for name in (inside.get(id(op.inputs[0]), "") for op in of_scope):
            if name.startswith(NETWORKS):
                return f", in the layer of '{name}'"
    return ""


_GRADIENTS = "gradient_tape/"
"""The prefix of TensorFlow's names for the operations of a gradient tape."""

_NO_OPERATION = "no operation of the step shows where it comes from."
