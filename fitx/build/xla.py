"""What of a trial's step XLA cannot compile, told by the user's line or the network's layer."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from fitx.build.trial import Trial
from fitx.engine.xla import obstacle
from fitx.experiment.problems import ConfigError

_COUNTED = re.compile(r"_\d+$")
"""What TensorFlow adds to the name of a layer that it has met before."""


def uncompilable(trial: Trial, graph: Any, device_kind: str) -> str | None:
    """Return what XLA cannot compile in a traced step and where it comes from, None for nothing.

    Args:
        trial: Whose step it is.
        graph: The step as a graph of one batch.
        device_kind: "cpu" or "gpu".
    """
    found = obstacle(graph, trial.data.batch_size, device_kind)
    if found is None:
        return None
    if found.operation is None:
        return f"the step: {found.reason}"
    origin = _line(trial, found.operation) or _layer(trial, found.operation)
    return f"{found.operation.type}{origin}, {found.reason}"


def refusal(trial: Trial, what: str) -> ConfigError:
    """Return the error for a mode of XLA that is asked for and cannot be had.

    Args:
        trial: Whose step it is.
        what: XLA cannot compile, as `uncompilable` says it.
    """
    text = f"XLA cannot compile {what}; write `mode: auto`."
    return trial.experiment.error(("execution", "mode"), text)


def _line(trial: Trial, op: tf.Operation) -> str:
    """Return the user's innermost line that made an operation, empty if no plugin did."""
    files = {str(path) for path in trial.experiment.plugins}
    for frame in reversed(list(op.traceback)):
        if frame.filename in files:
            line = linecache.getline(frame.filename, frame.lineno).strip()
            return f" of {Path(frame.filename).name}:{frame.lineno} (`{line}`)"
    return ""


def _layer(trial: Trial, op: tf.Operation) -> str:
    """Return the layer of a network that an operation belongs to, empty if none."""
    known = set(_layer_names(trial))
    scopes = [_COUNTED.sub("", scope) for scope in op.name.split("/")]
    inner = next((scope for scope in reversed(scopes) if scope in known), None)
    return f" of the layer '{inner}'" if inner else ""


def _layer_names(trial: Trial) -> Iterator[str]:
    for network in trial.step.networks.values():
        yield from (_COUNTED.sub("", layer.name) for layer in network.layers)
