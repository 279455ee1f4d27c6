"""Reports on operations of a traced step that cannot be saved or compiled, with the user's line."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from fitx.build.built import BuiltExperiment
from fitx.data.batch_layout import Rows
from fitx.engine.modes.xla_support import find_obstacle
from fitx.engine.resources.unsaved import StateLocation, UnsavedOperation, unsaved_operations
from fitx.experiment.problems import ConfigError

_COUNTER = re.compile(r"_\d+$")
"""The suffix that TensorFlow adds to the name of a layer that it has seen before."""


def origin(built: BuiltExperiment, op: tf.Operation) -> str:
    """Return the source of an operation, as words to follow its name; empty if unknown."""
    return _user_line(built, op) or _layer(built, op)


def _user_line(built: BuiltExperiment, op: tf.Operation) -> str:
    """Return the innermost line of a plugin that made an operation; empty if none did."""
    files = {str(path) for path in built.experiment.plugins}
    for frame in reversed(list(op.traceback)):
        if frame.filename in files:
            line = linecache.getline(frame.filename, frame.lineno).strip()
            return f" of {Path(frame.filename).name}:{frame.lineno} (`{line}`)"
    return ""


def _layer(built: BuiltExperiment, op: tf.Operation) -> str:
    """Return the layer of a network that an operation belongs to; empty if there is none."""
    layers = set(_layer_names(built))
    scopes = [_COUNTER.sub("", scope) for scope in op.name.split("/")]
    inner = next((scope for scope in reversed(scopes) if scope in layers), None)
    return f" of the layer '{inner}'" if inner else ""


def _layer_names(built: BuiltExperiment) -> Iterator[str]:
    for network in built.step.execution.contents.networks.values():
        yield from (_COUNTER.sub("", layer.name) for layer in network.layers)


_MESSAGES = {
    StateLocation.PYTHON: (
        "calls Python with {}: random numbers and state in Python are not saved, so a resumed run "
        "may differ; use operations of TensorFlow or keras.ops"
    ),
    StateLocation.OPERATION: (
        "draws random numbers with {}, whose position cannot be saved: a resumed run draws other "
        "numbers; use keras.random with a keras.random.SeedGenerator"
    ),
    StateLocation.RESOURCE: (
        "uses {resource} with {}, whose contents are not saved: a resumed run starts with a new "
        "one; keep changing values in a tf.Variable or a lookup table"
    ),
    StateLocation.MADE_INSIDE: (
        "creates a resource with {}, which lasts beyond the step and is not saved: a resumed run "
        "starts with a new one; create it in the step's constructor"
    ),
    StateLocation.ORDER: (
        "reads the rows of a lookup table with {}, in no fixed order: a resumed run may read them "
        "in another order; sort them"
    ),
    StateLocation.SHARED: (
        "changes a lookup table with {}: several devices do so in no fixed order, and only the "
        "first worker's table is saved, so a resumed run may differ"
    ),
}
"""The message for an operation `{}`, by the place of its state."""

_RESOURCES = {
    "Queue": "a queue",
    "Iterator": "an iterator",
    "Dataset": "a dataset",
    "Accumulator": "an accumulator",
    "": "a resource",
}
"""The resource that an operation uses, by a word in the operation's type."""


def inexact_operations(
    built: BuiltExperiment, kinds: Iterable[str] = ("train", "test")
) -> list[str]:
    """Return a message for each traced operation whose state cannot be saved in a checkpoint.

    Args:
        built: The experiment, traced.
        kinds: "train", "test" or both.
    """
    execution = built.step.execution
    is_distributed = execution.strategy is not None
    lines = [
        f"{kind}_step {_message(built, obstacle)}"
        for kind in kinds
        for graph in execution.graphs(kind)
        for obstacle in unsaved_operations(graph, is_distributed=is_distributed)
    ]
    # A step has a graph for each batch size: remove repeated messages.
    return list(dict.fromkeys(lines))


def _message(built: BuiltExperiment, unsaved: UnsavedOperation) -> str:
    operation = unsaved.operation
    resource = next(name for word, name in _RESOURCES.items() if word in operation.type)
    what = f"{operation.type}{origin(built, operation)}"
    return _MESSAGES[unsaved.location].format(what, resource=resource)


def uncompilable(built: BuiltExperiment, graph: Any, rows: Rows, device_kind: str) -> str | None:
    """Return the operation that XLA cannot compile and its source; None if XLA can compile all.

    Args:
        built: The experiment of the step.
        graph: The step as a graph of one batch.
        rows: The rows of a batch, for graphs of any batch size; of several streams, of each.
        device_kind: "cpu" or "gpu".
    """
    obstacle = find_obstacle(graph, rows, device_kind)
    if obstacle is None:
        return None
    if obstacle.operation is None:
        return f"the step: {obstacle.reason}"
    return f"{obstacle.operation.type}{origin(built, obstacle.operation)}, {obstacle.reason}"


def xla_refused(built: BuiltExperiment, what: str) -> ConfigError:
    """Return the error for a requested XLA mode that is not possible.

    Args:
        built: The experiment of the step.
        what: The result of `uncompilable`.
    """
    text = f"XLA cannot compile {what}; write `mode: auto`."
    return built.experiment.error(("execution", "mode"), text)
