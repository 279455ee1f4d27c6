"""Where an operation of a traced step comes from: the user's line, or a network's layer."""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from fitx.build.built import BuiltExperiment

_COUNTED = re.compile(r"_\d+$")
"""What TensorFlow adds to the name of a layer that it has met before."""


def origin(built: BuiltExperiment, op: tf.Operation) -> str:
    """Return where an operation comes from as words that follow its name, empty if unknown."""
    return _line(built, op) or _layer(built, op)


def _line(built: BuiltExperiment, op: tf.Operation) -> str:
    """Return the user's innermost line that made an operation, empty if no plugin did."""
    files = {str(path) for path in built.experiment.plugins}
    for frame in reversed(list(op.traceback)):
        if frame.filename in files:
            line = linecache.getline(frame.filename, frame.lineno).strip()
            return f" of {Path(frame.filename).name}:{frame.lineno} (`{line}`)"
    return ""


def _layer(built: BuiltExperiment, op: tf.Operation) -> str:
    """Return the layer of a network that an operation belongs to, empty if none."""
    known = set(_layer_names(built))
    scopes = [_COUNTED.sub("", scope) for scope in op.name.split("/")]
    inner = next((scope for scope in reversed(scopes) if scope in known), None)
    return f" of the layer '{inner}'" if inner else ""


def _layer_names(built: BuiltExperiment) -> Iterator[str]:
    for network in built.step.networks.values():
        yield from (_COUNTED.sub("", layer.name) for layer in network.layers)
