"""What in a trial's steps keeps a resumed run from going on exactly, told by the user's line."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from fitx.build.origin import origin
from fitx.build.trial import Trial
from fitx.engine.drawing import calls_python, hidden


def unsaved(trial: Trial, kinds: Iterable[str] = ("train", "test")) -> list[str]:
    """Return a line on each operation whose state no checkpoint can hold, in the step's graphs.

    Args:
        trial: Whose step was traced.
        kinds: "train", "test" or both.
    """
    lines = [
        f"{kind}_step {_line(trial, operation)}"
        for kind in kinds
        for graph in trial.step.execution.batches[kind].graphs
        for operation in hidden(graph)
    ]
    # A step has several graphs, of batches of several sizes.
    return list(dict.fromkeys(lines))


def _line(trial: Trial, operation: tf.Operation) -> str:
    what = f"{operation.type}{origin(trial, operation)}"
    if calls_python(operation):
        return (
            f"calls Python by {what}: what it draws or keeps there is not saved, and a resumed run "
            "goes on exactly only if that is nothing; use operations of TensorFlow or keras.ops"
        )
    return (
        f"draws with {what}, whose position TensorFlow keeps to itself: a resumed run draws other "
        "numbers; use keras.random with a keras.random.SeedGenerator"
    )
