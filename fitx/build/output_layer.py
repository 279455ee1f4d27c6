"""Chooses the outputs and the last activation of networks by the loss and the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fitx.build.make_parts import function_of
from fitx.build.preflight import loss_groups
from fitx.data import structure
from fitx.data.splits import Splits, are_class_labels
from fitx.experiment.experiment import Experiment
from fitx.registry.kinds import Part


@dataclass(frozen=True)
class OutputLayer:
    """The number of outputs and the last activation of a network.

    Args:
        outputs: Numbers in one prediction; for labels of several arrays, the same structure of
            numbers.
        activation: Keras' name of the last activation, or such a structure of names.
    """

    outputs: Any
    activation: Any


def output_layer_of_experiment(experiment: Experiment, splits: Splits) -> OutputLayer:
    """Return the output layer for an experiment's loss and labels.

    If an experiment is evaluated with another step, the step and the loss of the training decide,
    so that the networks are the same.
    """
    trained = experiment.trained_as or experiment
    return output_layer_of_loss(splits, loss_of(trained))


def output_layer_of_loss(splits: Splits, loss: Any) -> OutputLayer:
    """Return the output layer for a loss on these labels.

    Args:
        splits: All splits, as a class may be missing in one.
        loss: A Keras loss, or losses by output; None if it is not known. Then integer labels, one
            per row, count as classes, and other labels as numbers.
    """
    labels = [split.y for split in splits.values() if split.y is not None]
    layers = _layers(labels, loss) if labels else OutputLayer(1, "linear")
    return OutputLayer(
        structure.mapped(lambda layer: layer.outputs, layers),
        structure.mapped(lambda layer: layer.activation, layers),
    )


def _layers(labels: list[Any], loss: Any) -> Any:
    """Return the output layer for each array of labels, with its loss if that can be known."""
    first = labels[0]
    if not structure.is_nested(first):
        return _layer_of_array(labels, loss if isinstance(loss, Part) else None)
    keys = first if isinstance(first, dict) else range(len(first))
    layers = {key: _layers([y[key] for y in labels], _loss_at(loss, key)) for key in keys}
    return layers if isinstance(first, dict) else tuple(layers.values())


def _loss_at(loss: Any, key: Any) -> Any:
    """Return the loss of an output, of losses by output; one loss is that of all outputs."""
    if isinstance(loss, dict):
        return loss.get(key)
    if isinstance(loss, list):
        return loss[key] if isinstance(key, int) and key < len(loss) else None
    return loss


def _layer_of_array(labels: list[np.ndarray], loss: Part | None) -> OutputLayer:
    are_classes = all(are_class_labels(y) for y in labels)
    width = _width(labels[0])
    if loss is None:
        return (
            OutputLayer(_classes(labels), "softmax")
            if are_classes
            else OutputLayer(width, "linear")
        )
    class_name = (
        loss_groups.class_of(loss, None if are_classes else width, is_sparse=are_classes) or ""
    )
    outputs = _outputs(class_name, labels, loss) or width
    return OutputLayer(
        outputs, "linear" if loss_groups.takes_logits(loss) else _activation(class_name, labels)
    )


def loss_of(experiment: Experiment) -> Part | None:
    """Return the loss of an experiment; None if only its step's code knows it."""
    loss_name = getattr(function_of(experiment, experiment.step), "OWN_LOSS", None)
    if isinstance(loss_name, str):
        return Part("loss", loss_name)
    losses = [v for v in experiment.compile.values() if isinstance(v, Part) and v.kind == "loss"]
    return losses[0] if experiment.loss is None and len(losses) == 1 else experiment.loss


def _outputs(class_name: str, labels: list[np.ndarray], loss: Part) -> int | None:
    """Return the number of classes for a loss over classes; None for the width of y."""
    if class_name in loss_groups.CLASS_NUMBERS or class_name == "CTC":
        return _classes(labels, loss.options.get("ignore_class"))
    compares_rows = (
        class_name in loss_groups.CLASS_DISTRIBUTIONS or class_name == "CategoricalHinge"
    )
    compares_masks = class_name in loss_groups.YES_OR_NO or class_name in loss_groups.OVERLAPS
    are_classes = all(are_class_labels(y) for y in labels)
    if are_classes and (compares_rows or (compares_masks and _classes(labels) > 2)):
        # A user's step may convert them to one-hot rows; shipped steps refuse them.
        return _classes(labels)
    return None


def _activation(class_name: str, labels: list[np.ndarray]) -> str:
    """Return the activation whose range fits the predictions of a loss."""
    if (
        class_name in loss_groups.SPARSE_PROBABILITIES
        or class_name in loss_groups.CLASS_DISTRIBUTIONS
    ):
        return "softmax"
    if class_name in loss_groups.OVERLAPS and all(_are_one_hot(y) for y in labels):
        return "softmax"
    if class_name in loss_groups.YES_OR_NO or class_name in loss_groups.OVERLAPS:
        return "sigmoid"
    return "softplus" if class_name in loss_groups.NOT_NEGATIVE else "linear"


def _classes(labels: list[np.ndarray], ignored: int | None = None) -> int:
    counted = [y if ignored is None else y[y != ignored] for y in labels]
    return max((int(y.max()) for y in counted if y.size), default=0) + 1


def _width(y: np.ndarray) -> int:
    return 1 if y.ndim == 1 else int(y.shape[-1])


def _are_one_hot(y: np.ndarray) -> bool:
    return _width(y) > 1 and bool(np.all(y.sum(axis=-1) == 1))
