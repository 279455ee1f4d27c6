"""The outputs and the last activation that networks get from the loss and the labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitx.build.preflight import targets
from fitx.data.data_signature import are_class_labels
from fitx.data.splits import Splits
from fitx.experiment.experiment import Experiment
from fitx.registry.kinds import Part
from fitx.registry.registries import REGISTRIES


@dataclass(frozen=True)
class Head:
    """The end of a network.

    Args:
        outputs: Numbers in one answer.
        activation: Keras' name of the activation of the answer.
    """

    outputs: int
    activation: str


def head_for(experiment: Experiment, splits: Splits) -> Head:
    """Return the head that the loss and the labels ask for.

    Where an experiment is measured by another step, the step and the loss count that its networks
    were trained with: they are to be the same networks.
    """
    trained = experiment.trained_as or experiment
    return head(splits, loss_of(trained))


def head(splits: Splits, loss: Part | None) -> Head:
    """Return the head that a loss asks for on these labels.

    Args:
        splits: All of them: a class may be missing in one.
        loss: A loss of Keras'; None where nobody knows what will be computed. Then integer labels,
            one per row, are taken for classes, and other labels for numbers.
    """
    labels = [split.y for split in splits.values() if split.y is not None]
    if not labels:
        return Head(1, "linear")
    are_classes = all(are_class_labels(y) for y in labels)
    width = _width(labels[0])
    if loss is None:
        return Head(_classes(labels), "softmax") if are_classes else Head(width, "linear")
    cls = targets.class_of(loss, None if are_classes else width, is_sparse=are_classes) or ""
    outputs = _outputs(cls, labels, loss) or width
    return Head(outputs, "linear" if targets.takes_logits(loss) else _activation(cls, labels))


def loss_of(experiment: Experiment) -> Part | None:
    """Return the loss an experiment is trained with, None where only its step's code knows it."""
    own = getattr(REGISTRIES["step"].get(experiment.step.name), "OWN_LOSS", None)
    return Part("loss", own) if isinstance(own, str) else experiment.loss


def _outputs(cls: str, labels: list[np.ndarray], loss: Part) -> int | None:
    """Return one output per class where the loss counts classes; None for as many as y has."""
    if cls in targets.CLASS_NUMBERS or cls == "CTC":
        return _classes(labels, loss.options.get("ignore_class"))
    compares_rows = cls in targets.CLASS_DISTRIBUTIONS or cls == "CategoricalHinge"
    compares_masks = cls in targets.YES_OR_NO or cls in targets.OVERLAPS
    are_classes = all(are_class_labels(y) for y in labels)
    if are_classes and (compares_rows or (compares_masks and _classes(labels) > 2)):
        # A step of the user's may turn them into one-hot rows; fitx' own steps refuse them.
        return _classes(labels)
    return None


def _activation(cls: str, labels: list[np.ndarray]) -> str:
    """Return the activation whose range is what a loss takes for predictions."""
    if cls in targets.SPARSE_PROBABILITIES or cls in targets.CLASS_DISTRIBUTIONS:
        return "softmax"
    if cls in targets.OVERLAPS and all(_are_one_hot(y) for y in labels):
        return "softmax"
    if cls in targets.YES_OR_NO or cls in targets.OVERLAPS:
        return "sigmoid"
    return "softplus" if cls in targets.NOT_NEGATIVE else "linear"


def _classes(labels: list[np.ndarray], ignored: int | None = None) -> int:
    counted = [y if ignored is None else y[y != ignored] for y in labels]
    return max((int(y.max()) for y in counted if y.size), default=0) + 1


def _width(y: np.ndarray) -> int:
    return 1 if y.ndim == 1 else int(y.shape[-1])


def _are_one_hot(y: np.ndarray) -> bool:
    return _width(y) > 1 and bool(np.all(y.sum(axis=-1) == 1))
