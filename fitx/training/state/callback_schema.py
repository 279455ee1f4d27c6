"""Pydantic models of what Keras' own callbacks remember: names of attributes, types, ranges."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import keras
import numpy as np
from pydantic import AfterValidator, ConfigDict, Field

from fitx.json_model import Count, Model, demand, found

BY_EPOCH = ("wait", "stopped_epoch", "best_epoch")
"""Fields that count epochs, of which there cannot be more than are over."""


def _number(value: Any) -> Any:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, float | np.floating) or (is_integer and abs(value) < sys.maxsize):
        return value
    raise ValueError(f"expected a number, found {found(value)}")


def _array(value: Any) -> Any:
    if not isinstance(value, np.ndarray | np.generic):
        raise ValueError(f"expected an array, found {found(value)}")
    return value


Number = Annotated[Any, AfterValidator(_number)]
Array = Annotated[Any, AfterValidator(_array)]


class _EarlyStopping(Model):
    wait: Count = 0
    stopped_epoch: Count = 0
    best: Number | None = None
    best_epoch: Count = 0
    best_weights: list[Array] | None = None


class _ReduceLROnPlateau(Model):
    wait: Count = 0
    cooldown_counter: Count = 0
    best: Number | None = None


class _LearningRateScheduler(Model):
    pass


class _TensorBoard(Model):
    global_train_batch: Annotated[Count, Field(alias="_global_train_batch")] = 0
    global_test_batch: Annotated[Count, Field(alias="_global_test_batch")] = 0


class _CSVLogger(Model):
    keys: list[str] | None = None
    size: Count


class _OfOtherClass(Model):
    """Of a class made from one of Keras', which may keep anything in the same attributes."""

    model_config = ConfigDict(extra="allow")

    size: Count = 0


REMEMBERED: dict[type, type[Model]] = {
    keras.callbacks.EarlyStopping: _EarlyStopping,
    keras.callbacks.ReduceLROnPlateau: _ReduceLROnPlateau,
    keras.callbacks.LearningRateScheduler: _LearningRateScheduler,
    keras.callbacks.TensorBoard: _TensorBoard,
    keras.callbacks.CSVLogger: _CSVLogger,
}
"""Keras' callbacks, and what they remember; what else they have is settings.

The fields are attributes, but for `size`: the bytes of the logger's file.
"""


def attributes(callback: keras.callbacks.Callback) -> tuple[str, ...]:
    """Return the attributes in which a callback of Keras, or of a class made from it, remembers."""
    models = [model for kind, model in REMEMBERED.items() if isinstance(callback, kind)]
    fields = [item for model in models for item in model.model_fields.items()]
    return tuple(field.alias or name for name, field in fields if name != "size")


def demand_state(callback: keras.callbacks.Callback, state: Any, epoch: int | None) -> None:
    """Refuse a state that one of Keras' own callbacks cannot have.

    Args:
        callback: The callback; of one of another class nothing is known.
        state: What it is to remember.
        epoch: Epochs that are over; None if that is not known.

    Raises:
        ValueError: Names the field that is wrong.
    """
    model = REMEMBERED.get(type(callback))
    if model is None:
        demand(_OfOtherClass, state)
        return
    demand(model, state)
    for field in BY_EPOCH if epoch is not None else ():
        if state.get(field, 0) > epoch:
            raise ValueError(f"{field} is {state[field]}, and {epoch} epochs were over")
    weights = state.get("best_weights")
    if weights is not None and _forms(weights) != _forms(callback.model.weights):
        raise ValueError("best_weights are those of other networks")


def _forms(arrays: list[Any]) -> list[tuple[tuple[int, ...], str]]:
    standard = keras.backend.standardize_dtype
    return [(tuple(array.shape), standard(array.dtype)) for array in arrays]
