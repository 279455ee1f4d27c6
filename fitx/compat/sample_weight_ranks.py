"""Aligns sample weights and labels with their examples where the ranks differ.

Keras multiplies the values of a loss by the weights, and compares labels with predictions, by
NumPy's broadcasting: where one has more axes than the other, the axis of the examples can be
matched with another axis. A private function of all losses multiplies the weights; no public one
gets the shape of the loss values. It and `keras.losses.Loss.__call__` are replaced while a step is
traced.
Test that fails when Keras changes: tests/compat/test_sample_weight_ranks.py:
test_keras_still_multiplies_weights_in_reduce_weighted_values.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.losses import loss as keras_loss

from fitx.compat.replacement import replaced
from fitx.compat.required_names import demand

demand(keras_loss, "reduce_weighted_values")

_OF_OTHER_RANKS = (
    *("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"),
    *("ctc", "circle"),
)
"""Losses whose labels have not the shape of the predictions."""


@contextmanager
def by_example() -> Iterator[None]:
    """Trace a step whose sample weights are per example, and whose labels are compared with them.

    A weight for each example, of shape (batch,) or (batch, 1), counts for all values of the loss
    that belong to the example. Weights and labels that would meet those of other examples are
    refused with a ValueError.
    """
    reduce, call = keras_loss.reduce_weighted_values, keras.losses.Loss.__call__

    def reduced(values: Any, sample_weight: Any = None, **options: Any) -> Any:
        values = keras.ops.convert_to_tensor(values)
        if sample_weight is not None:
            sample_weight = _aligned(keras.ops.convert_to_tensor(sample_weight), values)
        return reduce(values, sample_weight=sample_weight, **options)

    def called(loss: Any, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if _is_compared_number_by_number(loss, y_true, y_pred):
            _check_labels(loss, y_true, y_pred)
            if sample_weight is not None and len(y_true.shape) == len(y_pred.shape) == 1:
                # Keras would take the batch for one example, whose mean all weights multiply.
                y_true, y_pred = y_true[:, None], y_pred[:, None]
        return call(loss, y_true, y_pred, sample_weight=sample_weight)

    with (
        replaced(keras_loss, "reduce_weighted_values", reduced),
        replaced(keras.losses.Loss, "__call__", called),
    ):
        yield


def _aligned(weight: Any, values: Any) -> Any:
    """Return a weight that multiplies the values of its own example.

    A weight whose first axis is not that of the examples is left to Keras, and so is one whose
    rank differs only by a last axis of 1, which Keras adds or drops.
    """
    shape, expected = tuple(weight.shape), tuple(values.shape)
    if shape and not expected:
        text = (
            "the loss gives one number for the whole batch, and sample_weight one for each example"
        )
        raise ValueError(
            f"{text}: let the loss return one value for each example, or drop the weights"
        )
    if not shape or shape[0] != expected[0] or expected == (*shape, 1):
        return weight
    more = len(expected) - len(shape)
    longer = (*shape, *(1,) * more) if more > 0 else shape
    if more < 0 and all(size == 1 for size in shape[len(expected) :]):
        longer = shape[: len(expected)]
    pairs = zip(longer, expected, strict=False)
    if len(longer) != len(expected) or any(not _may_multiply(*pair) for pair in pairs):
        text = f"sample_weight has shape {shape} and the values of the loss have {expected}: give "
        raise ValueError(f"{text}one weight for each example, of shape (batch,), or for each value")
    return weight if more <= 0 else keras.ops.reshape(weight, (-1, *longer[1:]))


def _may_multiply(weight: int | None, value: int | None) -> bool:
    return None in (weight, value) or weight in (1, value)


def _is_compared_number_by_number(loss: Any, y_true: Any, y_pred: Any) -> bool:
    """Return whether a loss is Keras' own and takes labels shaped like the predictions."""
    function = getattr(loss, "fn", None)
    name, module = getattr(function, "__name__", ""), getattr(function, "__module__", "")
    is_own = module.startswith("keras.") and name not in _OF_OTHER_RANKS
    return is_own and all(hasattr(tensor, "shape") for tensor in (y_true, y_pred))


def _check_labels(loss: Any, y_true: Any, y_pred: Any) -> None:
    """Refuse labels whose examples would be compared with another axis of the predictions."""
    labels, output = tuple(y_true.shape), tuple(y_pred.shape)
    if not labels or not output or labels[0] != output[0] or len(labels) == len(output):
        return
    longer = max(labels, output, key=len)
    if abs(len(labels) - len(output)) > 1 or longer[-1] != 1:
        text = (
            f"y has shape {labels} and the predictions {output}: {loss.fn.__name__} compares them "
        )
        raise ValueError(f"{text}number by number, and would compare an example with others")
