"""Finds metrics that would give a wrong value for these labels and this network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fitx.build.built import BuiltExperiment
from fitx.build.preflight import loss_groups
from fitx.build.preflight.last_layer import gives_negative_numbers
from fitx.build.preflight.network_outputs import network_outputs
from fitx.experiment.problems import Problem
from fitx.registry import keras_parts
from fitx.registry.kinds import Part

_COUNTS = {
    *("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives"),
    *("Precision", "Recall"),
}
_CURVES = {
    *("PrecisionAtRecall", "RecallAtPrecision"),
    *("SensitivityAtSpecificity", "SpecificityAtSensitivity"),
}
_F_SCORES = {"F1Score", "FBetaScore"}
_ONE_HOT_OVERLAPS = {"OneHotIoU", "OneHotMeanIoU"}
_OF_GREATEST = {"CategoricalAccuracy", "TopKCategoricalAccuracy"}
_INSTEAD = {
    **dict.fromkeys(_OF_GREATEST, "write binary_accuracy"),
    **dict.fromkeys(_ONE_HOT_OVERLAPS, "write binary_iou"),
}
_OF_YES_OR_NO = {
    *_COUNTS,
    *_CURVES,
    *_F_SCORES,
    *_ONE_HOT_OVERLAPS,
    *("AUC", "BinaryAccuracy", "BinaryIoU"),
}
"""Metrics whose labels are 0 or 1 each."""

_THRESHOLDS = {
    **dict.fromkeys(_COUNTS, "thresholds"),
    **dict.fromkeys(("BinaryAccuracy", "BinaryIoU"), "threshold"),
}
"""The option with what a prediction is compared, which is 0.5 if it is not set."""

_KERAS_UNDOES: dict[tuple[str, str | None], str] = {
    ("BinaryCrossentropy", "softmax"): "categorical_crossentropy",
    ("CategoricalCrossentropy", "sigmoid"): "binary_crossentropy",
    ("SparseCategoricalCrossentropy", "sigmoid"): "a softmax as the network's end",
}
"""Metrics by activations that Keras computes from the values before the activation, wrongly."""


@dataclass(frozen=True)
class _MetricInputs:
    """The values that a metric is updated with.

    Args:
        labels: The labels of every split.
        width: The last dimension of the network's output.
        activation: What that comes out of; None where it is not known.
        is_sparse: Whether labels have one dimension less than outputs, or a last one of 1.
    """

    labels: list[np.ndarray]
    width: int | None
    activation: str | None
    is_sparse: bool


def problems(built: BuiltExperiment) -> Iterator[Problem]:
    """Yield a problem for each metric that would give a wrong value, with the remedy."""
    for output in network_outputs(built):
        labels, width = list(output.labels.values()), output.width
        is_sparse = labels[0].ndim <= len(output.shape) or (labels[0].shape[-1] == 1 and width != 1)
        inputs = _MetricInputs(labels, width, output.activation, is_sparse)
        for path, part in output.metrics.items():
            cls = loss_groups.class_of(part, width, is_sparse=is_sparse) or ""
            text = _misuse(part, cls, inputs)
            if text is not None:
                yield built.experiment.problem(path, f"{part.name} {text}")


def _misuse(part: Part, cls: str, inputs: _MetricInputs) -> str | None:
    if cls in ("IoU", "MeanIoU"):
        return _overlap(part, inputs)
    if cls in _ONE_HOT_OVERLAPS and inputs.width not in (None, 1, part.options.get("num_classes")):
        return f"needs num_classes: {inputs.width}, as the network has as many outputs."
    return _labels(cls, inputs) or _predictions(part, cls, inputs) or _greatest(part, cls, inputs)


def _labels(cls: str, inputs: _MetricInputs) -> str | None:
    """Return a problem if labels are not 0 or 1, which Keras would misread."""
    if cls not in _OF_YES_OR_NO or all(np.isin(y, (0, 1)).all() for y in inputs.labels):
        return None
    return "takes labels that are 0 or 1, and y holds others; remove it, or prepare y so."


def _predictions(part: Part, cls: str, inputs: _MetricInputs) -> str | None:
    """Return a problem if predictions are not probabilities, or not class numbers."""
    if cls == "Accuracy" and inputs.activation is not None:
        text = "compares labels and predictions for equality, and a network gives no class numbers"
        return f"{text}; write accuracy in small letters, or the name of another."
    if (cls, inputs.activation) in _KERAS_UNDOES:
        # Keras finds what the activation was given, and takes it for logits of its own kind.
        instead = _KERAS_UNDOES[cls, inputs.activation]
        return f"has no use for {inputs.activation} outputs in Keras; write {instead}."
    if inputs.activation is None or not gives_negative_numbers(inputs.activation):
        return None
    ending = f"the network ends in {inputs.activation}"
    option = _THRESHOLDS.get(cls)
    if option is not None and part.options.get(option) is None and not part.options.get("top_k"):
        name = "binary_accuracy" if cls == "BinaryAccuracy" else part.name
        write = f"{{name: {name}, {option}: 0.0}}"
        return f"compares predictions with 0.5, but {ending}; for logits write {write}."
    if cls == "AUC" and not loss_groups.takes_logits(part):
        return f"takes probabilities, but {ending}; for logits add from_logits: true."
    if cls in _CURVES or (
        cls in _F_SCORES and (inputs.width == 1 or part.options.get("threshold"))
    ):
        return f"takes probabilities, but {ending}; let it end in sigmoid, or remove the metric."
    return None


def _greatest(part: Part, cls: str, inputs: _MetricInputs) -> str | None:
    """Return a problem if a metric uses the greatest output of a row where that is meaningless."""
    is_free = cls in _F_SCORES and part.options.get("threshold") is None
    looks = is_free or cls in _ONE_HOT_OVERLAPS or cls in _OF_GREATEST
    average = "" if part.options.get("average") else " and average: macro"
    instead = {**dict.fromkeys(_F_SCORES, f"add threshold: 0.5{average}"), **_INSTEAD}.get(cls, "")
    if looks and inputs.width == 1:
        return f"looks for the greatest output, and there is one; {instead}."
    if looks and any(_has_several(y) for y in inputs.labels):
        return f"looks for the greatest output, and y has several labels a row; {instead}."
    is_chosen = cls == "CategoricalAccuracy" and part.name in keras_parts.SHAPE_DEPENDENT["metric"]
    if is_chosen and not all(_are_probabilities(y) for y in inputs.labels):
        return "counts right classes, and the rows of y are no probabilities of classes; remove it."
    if inputs.width == 1 and cls in loss_groups.CLASS_DISTRIBUTIONS:
        return "compares the probabilities of classes, and there is one output."
    is_correlation = cls in ("PearsonCorrelation", "ConcordanceCorrelation")
    if is_correlation and part.options.get("axis", -1) == -1 and _has_even_rows(inputs.labels):
        return "correlates the numbers of a row, and y has rows in which all are equal; remove it."
    return None


def _are_probabilities(y: np.ndarray) -> bool:
    """Return whether rows are one-hot classes or class probabilities."""
    is_marked = bool(np.isin(y, (0, 1)).all())
    return is_marked or bool(np.all(y >= 0) and np.allclose(y.sum(axis=-1), 1, atol=1e-3))


def _has_even_rows(labels: list[np.ndarray]) -> bool:
    rows = [y if y.ndim > 1 else y[:, None] for y in labels]
    return any(bool((y == y[..., :1]).all(axis=-1).any()) for y in rows)


def _has_several(y: np.ndarray) -> bool:
    """Return whether a row of y marks several columns."""
    is_marked = y.ndim > 1 and y.shape[-1] > 1 and bool(np.isin(y, (0, 1)).all())
    return is_marked and bool((y.sum(axis=-1) > 1).any())


def _overlap(part: Part, inputs: _MetricInputs) -> str | None:
    """Return a problem if a metric would read probabilities or one-hot labels as class numbers."""
    sparse_labels = part.options.get("sparse_y_true", True)
    sparse_answer = part.options.get("sparse_y_pred", True)
    if sparse_answer and inputs.activation is not None:
        text = "takes class numbers for predictions, and the network gives scores; "
        return text + ("write binary_iou." if inputs.width == 1 else "add sparse_y_pred: false.")
    if sparse_labels and not inputs.is_sparse and inputs.width != 1:
        return "takes class numbers for labels, and y is one-hot; add sparse_y_true: false."
    classes = part.options.get("num_classes")
    if not sparse_answer and inputs.width is not None and classes != inputs.width:
        has = f"and the network has {inputs.width} outputs; write num_classes: {inputs.width}."
        return f"counts {classes} classes, {has}"
    return None
