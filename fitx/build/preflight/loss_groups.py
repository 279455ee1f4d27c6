"""Keras' losses and metrics, grouped by the labels and the predictions that they compare."""

from __future__ import annotations

from fitx.registry import keras_parts
from fitx.registry.kinds import Part

CLASS_NUMBERS = {
    "SparseCategoricalCrossentropy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "CategoricalGeneralizedCrossEntropy",
}
"""One class number against a score for each class."""

CLASS_DISTRIBUTIONS = {"CategoricalCrossentropy", "CategoricalFocalCrossentropy", "KLDivergence"}
"""A probability for each class, as one-hot labels are, against the same; they add up to 1."""

YES_OR_NO = {"BinaryCrossentropy", "BinaryFocalCrossentropy"}
"""Numbers from 0 to 1 against probabilities, each by itself."""

OVERLAPS = {"Dice", "Tversky"}
"""Masks of 0 and 1 against probabilities: of one thing, of several, or of classes."""

MARGINS = {"Hinge", "SquaredHinge"}
"""-1 and 1 against scores without bounds; Keras takes labels that are all 0 or 1 for these."""

NOT_NEGATIVE = {"Poisson", "MeanSquaredLogarithmicError"}
"""Counts and the like against predictions that are not negative."""

SPARSE_PROBABILITIES = CLASS_NUMBERS & {
    "SparseCategoricalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
}
PROBABILITIES = SPARSE_PROBABILITIES | CLASS_DISTRIBUTIONS | YES_OR_NO | OVERLAPS
"""Losses and metrics that compare probabilities, unless `from_logits` is set."""

FROM_LOGITS = {"SparseCategoricalCrossentropy", *YES_OR_NO, *CLASS_DISTRIBUTIONS} - {"KLDivergence"}
"""Losses and metrics with the option `from_logits`."""


def class_of(part: Part, width: int | None, *, is_sparse: bool) -> str | None:
    """Return the Keras class of a loss or metric, or of what Keras takes `crossentropy` for.

    Args:
        part: A loss or a metric.
        width: The last dimension of the network's output, or of what it is to be.
        is_sparse: Whether labels have one dimension less, or a last one of 1.
    """
    if part.name not in keras_parts.SHAPE_DEPENDENT.get(part.kind, ()) or part.options:
        return keras_parts.class_name(part.kind, part.name)
    word = "Accuracy" if part.name.startswith("acc") else "Crossentropy"
    if width == 1:
        return f"Binary{word}"
    return f"SparseCategorical{word}" if is_sparse else f"Categorical{word}"


def takes_logits(part: Part) -> bool:
    """Return whether a loss or metric has the option `from_logits`."""
    return part.options.get("from_logits") is True
