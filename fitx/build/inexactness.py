"""Operations of a step that keep a resumed run from being exact, with the user's line."""

from __future__ import annotations

from collections.abc import Iterable

from fitx.build.built import BuiltExperiment
from fitx.build.operation_origin import origin
from fitx.engine.resources.unsaved import StateLocation, UnsavedOperation, unsaved_operations

_TOLD = {
    StateLocation.PYTHON: (
        "calls Python by {}: what it draws or keeps there is not saved, and a resumed run goes on "
        "exactly only if that is nothing; use operations of TensorFlow or keras.ops"
    ),
    StateLocation.OPERATION: (
        "draws with {}, whose position TensorFlow keeps to itself: a resumed run draws other "
        "numbers; use keras.random with a keras.random.SeedGenerator"
    ),
    StateLocation.RESOURCE: (
        "uses {resource} by {}: what it holds and where it stands is not saved, and a resumed run "
        "begins with it as it was made; keep what changes in a tf.Variable or a lookup table"
    ),
    StateLocation.MADE_INSIDE: (
        "makes a resource by {}, which is there again in the next step and is not saved: a resumed "
        "run begins with a new one; make it in the step's constructor"
    ),
    StateLocation.ORDER: (
        "takes the rows of a lookup table by {}, in an order that TensorFlow chooses: a resumed "
        "run may get them in another; sort them"
    ),
    StateLocation.SHARED: (
        "changes a lookup table by {}, which devices do in no fixed order, and of the tables of "
        "several workers only the first's is saved: a resumed run may go on otherwise"
    ),
}
"""What is said of an operation that stands for `{}`, by where it keeps its state."""

_RESOURCES = {
    "Queue": "a queue",
    "Iterator": "an iterator",
    "Dataset": "a dataset",
    "Accumulator": "an accumulator",
    "": "a resource",
}
"""What an operation uses, by a word in its type."""


def unsaved(built: BuiltExperiment, kinds: Iterable[str] = ("train", "test")) -> list[str]:
    """Return a line on each operation whose state no checkpoint can hold, in the step's graphs.

    Args:
        built: Whose step was traced.
        kinds: "train", "test" or both.
    """
    execution = built.step.execution
    is_distributed = execution.strategy is not None
    lines = [
        f"{kind}_step {_line(built, found)}"
        for kind in kinds
        for graph in execution.graphs(kind)
        for found in unsaved_operations(graph, is_distributed=is_distributed)
    ]
    # A step has several graphs, of batches of several sizes.
    return list(dict.fromkeys(lines))


def _line(built: BuiltExperiment, found: UnsavedOperation) -> str:
    operation = found.operation
    resource = next(name for word, name in _RESOURCES.items() if word in operation.type)
    what = f"{operation.type}{origin(built, operation)}"
    return _TOLD[found.location].format(what, resource=resource)
