"""Checks that the data fits the network's input, and its labels the loss and the metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from fitx.build.built import BuiltExperiment
from fitx.build.preflight import loss_groups
from fitx.build.preflight.network_outputs import (
    NetworkOutput,
    Shape,
    network_outputs,
    plain_shape,
)
from fitx.data import structure
from fitx.data.splits import are_class_labels
from fitx.registry import keras_parts
from fitx.registry.kinds import Part

_OF_THEIR_OWN = {"CTC", "Circle", "IoU", "MeanIoU"}
"""Losses and metrics with labels of a special form; all others compare number by number."""

_IN_UNIT_RANGE = loss_groups.YES_OR_NO | loss_groups.CLASS_DISTRIBUTIONS | loss_groups.OVERLAPS
"""Losses and metrics whose labels lie between 0 and 1."""


def problems(built: BuiltExperiment) -> Iterator[str]:
    """Yield a sentence for each misfit.

    A plugin's step may make of x and y what it likes, so only fitx' own are judged.
    """
    experiment, networks = built.experiment, built.step.execution.contents.networks
    if not experiment.part_index.is_shipped("step", experiment.step.name):
        return
    # All splits have rows of the same shape.
    split, facts = built.data.splits["train"], experiment.step_facts
    if facts is not None and "loss" in facts.uses and split.y is None:
        yield f"step '{experiment.step.name}' learns from labels, and this data has no y."
    if len(networks) > 1:
        return
    name, network = next(iter(networks.items()))
    if not structure.is_nested(split.x):
        yield from _input_problems(split.x.shape[1:], name, network)
    for output in network_outputs(built):
        for part in output.parts.values():
            yield from _label_problems(output, part)


def _input_problems(shape: Shape, name: str, network: keras.Model) -> Iterator[str]:
    expected = plain_shape(getattr(network, "input_shape", None))
    if expected is not None and not _agree(expected, shape):
        yield f"one x has shape {shape}; the network '{name}' takes {expected}."


def _label_problems(output: NetworkOutput, part: Part) -> Iterator[str]:
    """Yield problems of the labels' shape, or else of their values."""
    labels, outputs, name = output.labels, output.shape, output.labels_name
    y, width = output.y, output.width
    cls = loss_groups.class_of(part, width, is_sparse=y.ndim <= len(outputs) or y.shape[-1] == 1)
    if cls is None or cls in _OF_THEIR_OWN:
        return
    of_classes = cls in loss_groups.CLASS_NUMBERS
    ranges = [
        found
        for split, y in labels.items()
        if (found := _out_of_range(f"{split}: {name}", y, part, cls))
    ]
    if ranges and cls not in loss_groups.CLASS_DISTRIBUTIONS:
        yield from ranges
    elif not _agree(_squeezed(outputs[:-1] if of_classes else outputs), _squeezed(y.shape[1:])):
        text = f"{part.name} compares them number by number.{_sparse_instead(y, outputs, part)}"
        text = f"{part.name} takes one class number for each output." if of_classes else text
        yield f"one {name} has shape {y.shape[1:]}, the network's output {outputs}; {text}"
    elif of_classes:
        for split, values in labels.items():
            yield from _class_problems(split, name, values, outputs, part)
    else:
        yield from ranges or _senseless(name, y, width, part, cls)


def _senseless(name: str, y: np.ndarray, width: int | None, part: Part, cls: str) -> Iterator[str]:
    """Yield reasons why labels and outputs of fitting shapes cannot be learned from."""
    if part.kind != "loss":
        return
    if width == 1 and cls in loss_groups.CLASS_DISTRIBUTIONS:
        text = f"{part.name} compares the probabilities of classes, and {name} has one column; take"
        yield f"{text} binary_crossentropy, or sparse_categorical_crossentropy for class numbers."
    elif width == 1 and cls == "CosineSimilarity":
        yield f"{part.name} compares directions, which one number has none of; take mse."
    elif cls != "CategoricalCrossentropy" or part.name not in keras_parts.SHAPE_DEPENDENT["loss"]:
        return
    elif not np.allclose(y.sum(axis=-1), 1, atol=1e-3):
        text = f"{name} has rows that do not add up to 1; write binary_crossentropy for several"
        yield f"{part.name} stands for categorical_crossentropy here, but {text} labels a row."


def _out_of_range(where: str, y: np.ndarray, part: Part, cls: str) -> str | None:
    """Return a problem if a split's labels are outside the range of a loss or metric."""
    least, most = y.min(), y.max()
    found = f"{where} lies in [{least}, {most}]; {part.name} takes"
    of_classes = " For class numbers take sparse_categorical_crossentropy."
    hint = of_classes if are_class_labels(y) and part.kind == "loss" else ""
    if cls in _IN_UNIT_RANGE and (least < 0 or most > 1):
        return f"{found} values from 0 to 1.{hint}"
    if cls in loss_groups.MARGINS and are_class_labels(y) and most > 1:
        return f"{found} -1 and 1, or 0 and 1.{hint}"
    if cls == "Poisson" and least < 0:
        return f"{found} no negative values."
    return None


def _class_problems(
    split: str, name: str, y: np.ndarray, outputs: Shape, part: Part
) -> Iterator[str]:
    classes = outputs[-1] if outputs else 1
    ignored = part.options.get("ignore_class")
    labels = y if ignored is None else y[y != ignored]
    if classes is not None and labels.size and (labels.min() < 0 or labels.max() >= classes):
        of_output = "" if name == "y" else f" of {name}"
        yield (
            f"{split}: labels{of_output} run from {labels.min()} to {labels.max()}; with the "
            f"network's {classes} outputs {part.name} takes 0 to {classes - 1}."
        )
    elif not np.issubdtype(y.dtype, np.integer) and np.any(labels != np.floor(labels)):
        yield f"{split}: {name} holds fractions; {part.name} takes class numbers."


def _sparse_instead(y: np.ndarray, outputs: Shape, part: Part) -> str:
    """Return the hint to the sparse twin of a loss or metric, where y holds class numbers."""
    known: Any = keras_parts.class_name(part.kind, f"sparse_{part.name}")
    fits = _agree(_squeezed(outputs[:-1]), _squeezed(y.shape[1:])) and y.dtype.kind in "iu"
    return f" For class numbers take sparse_{part.name}." if known and fits else ""


def _squeezed(shape: Shape) -> Shape:
    """Return a shape without a last axis of 1, which Keras adds and drops by itself."""
    return shape[:-1] if shape[-1:] == (1,) else shape


def _agree(expected: Shape, shape: Shape) -> bool:
    """Return whether a shape matches the expected one, in which None means any size."""
    return len(expected) == len(shape) and all(
        side in (None, size) for side, size in zip(expected, shape, strict=True)
    )
