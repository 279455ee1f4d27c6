"""Schemas of the states of Keras' own callbacks: attributes, types and ranges."""

from __future__ import annotations

import sys
from functools import cache
from typing import Annotated, Any

import keras
import numpy as np
from pydantic import AfterValidator, ConfigDict, Field

from fitx.compat.callback_attributes import TEST_BATCHES, TRAIN_BATCHES, demand_attributes
from fitx.json_model import Count, Model, parse_model, shown

EPOCH_COUNTS = ("wait", "stopped_epoch", "best_epoch")
"""Fields that count epochs; none can exceed the number of finished epochs."""


def _number(value: Any) -> Any:
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, float | np.floating) or (is_integer and abs(value) < sys.maxsize):
        return value
    raise ValueError(f"expected a number, found {shown(value)}")


def _array(value: Any) -> Any:
    if not isinstance(value, np.ndarray | np.generic):
        raise ValueError(f"expected an array, found {shown(value)}")
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
    global_train_batch: Annotated[Count, Field(alias=TRAIN_BATCHES)] = 0
    global_test_batch: Annotated[Count, Field(alias=TEST_BATCHES)] = 0


class _CSVLogger(Model):
    keys: list[str] | None = None
    size: Count


class _Subclass(Model):
    """The state of a subclass, which may keep anything in the attributes of its base class."""

    model_config = ConfigDict(extra="allow")

    size: Count = 0


SCHEMAS: dict[type, type[Model]] = {
    keras.callbacks.EarlyStopping: _EarlyStopping,
    keras.callbacks.ReduceLROnPlateau: _ReduceLROnPlateau,
    keras.callbacks.LearningRateScheduler: _LearningRateScheduler,
    keras.callbacks.TensorBoard: _TensorBoard,
    keras.callbacks.CSVLogger: _CSVLogger,
}
"""Keras' callbacks with a schema of their states; their other attributes are settings.

Every field is an attribute, except `size`: the bytes of the file that `CSVLogger` writes.
"""


def attributes(callback: keras.callbacks.Callback) -> tuple[str, ...]:
    """Return the attributes with the state of a Keras callback, or of a subclass of one."""
    kinds = [kind for kind in SCHEMAS if isinstance(callback, kind)]
    return tuple(name for kind in kinds for name in _attributes_of(kind))


@cache
def _attributes_of(kind: type) -> tuple[str, ...]:
    fields = SCHEMAS[kind].model_fields.items()
    names = tuple(field.alias or name for name, field in fields if name != "size")
    demand_attributes(kind, names)
    return names


def demand_state(callback: keras.callbacks.Callback, state: Any, epoch: int | None) -> None:
    """Raise ValueError for a state that one of Keras' own callbacks cannot have.

    Args:
        callback: The callback; one of another class may have any state.
        state: Its saved state.
        epoch: The number of finished epochs; None if unknown.

    Raises:
        ValueError: The state is invalid; names the field.
    """
    model = SCHEMAS.get(type(callback))
    if model is None:
        parse_model(_Subclass, state)
        return
    parse_model(model, state)
    for field in EPOCH_COUNTS if epoch is not None else ():
        if state.get(field, 0) > epoch:
            raise ValueError(f"{field} is {state[field]}, but only {epoch} epochs were finished")
    weights = state.get("best_weights")
    if weights is not None and _forms(weights) != _forms(callback.model.weights):
        raise ValueError("best_weights have the shapes or dtypes of another network")


def _forms(arrays: list[Any]) -> list[tuple[tuple[int, ...], str]]:
    standard = keras.backend.standardize_dtype
    return [(tuple(array.shape), standard(array.dtype)) for array in arrays]
