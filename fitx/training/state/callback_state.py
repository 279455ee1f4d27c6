"""Captures and restores the states of callbacks."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from fitx.errors import StorageError, UserCodeError
from fitx.json_model import shown
from fitx.training.state.callback_schema import SCHEMAS, attributes, demand_state

MAX_DEPTH = 100
"""The most levels of nesting in a callback's state; below the limit for meta.json."""

Arrays = dict[str, np.ndarray]


def by_name(callbacks: Iterable[keras.callbacks.Callback]) -> dict[str, keras.callbacks.Callback]:
    """Return callbacks by the names of their classes; a second as `EarlyStopping#2`."""
    callback_by_key: dict[str, keras.callbacks.Callback] = {}
    for callback in callbacks:
        name, count = type(callback).__name__, 1
        while (name if count == 1 else f"{name}#{count}") in callback_by_key:
            count += 1
        callback_by_key[name if count == 1 else f"{name}#{count}"] = callback
    return callback_by_key


def matched(saved: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Match the callbacks of a run with those of a checkpoint, by class and options.

    The order in the list does not matter. A callback with other options is reset, as its state may
    be that of another monitored value.

    Args:
        saved: The options of the checkpoint's callbacks, as JSON, by name.
        now: The options of the run's callbacks.

    Returns:
        Names in the checkpoint by names in the run.
    """
    free, matches = dict(saved), {}
    for name, options in now.items():
        alike = [s for s, text in free.items() if text == options and _class(s) == _class(name)]
        if alike:
            matches[name] = alike[0]
            del free[alike[0]]
    return matches


def _class(name: str) -> str:
    return name.partition("#")[0]


def has_state(callback: keras.callbacks.Callback) -> bool:
    """Return whether checkpoints hold a state of this callback."""
    return _has_own(callback) or bool(attributes(callback))


def loses_state(callback: keras.callbacks.Callback) -> bool:
    """Return whether a callback may have a state that checkpoints do not hold."""
    is_known = type(callback) in SCHEMAS or vars(type(callback)).get("stateless")
    return not is_known and not _has_own(callback)


def capture_callback(name: str, callback: keras.callbacks.Callback, arrays: Arrays) -> Any:
    """Return the state of a callback, ready for JSON; adds its arrays to `arrays`.

    Raises:
        UserCodeError: `get_state` returns a value that cannot be saved or is nested too deeply.
    """
    if _has_own(callback):
        state = callback.get_state()  # type: ignore[attr-defined]
        _packed(state, name, {})  # Refuses nesting that is too deep for `deepcopy`.
        # The callback may change the returned objects later.
        return _packed(copy.deepcopy(state), name, arrays)
    # Some attributes are created when training begins.
    keys = [key for key in attributes(callback) if hasattr(callback, key)]
    state = {key: getattr(callback, key) for key in keys}
    if isinstance(callback, keras.callbacks.CSVLogger):
        state["size"] = _size(callback)
    return _packed(state, name, arrays)


def restore_callback(
    callback: keras.callbacks.Callback, packed: Any, arrays: Arrays, epoch: int | None = None
) -> None:
    """Set a callback to a captured state.

    Args:
        callback: The callback.
        packed: The state that `capture_callback` returned.
        arrays: The arrays that it added.
        epoch: The number of finished epochs; None if unknown.

    Raises:
        StorageError: The state is invalid; names the field.
    """
    try:
        state = _unpacked(packed, arrays)
        if not _has_own(callback):
            demand_state(callback, state, epoch)
            _set(callback, state)
            return
    except ValueError as error:
        raise StorageError(str(error)) from error
    callback.set_state(state)  # type: ignore[attr-defined]


def _set(callback: keras.callbacks.Callback, state: dict[str, Any]) -> None:
    for key in attributes(callback):
        if key in state:
            setattr(callback, key, state[key])
    if isinstance(callback, keras.callbacks.CSVLogger) and "size" in state:
        _continue_file(callback, state["size"])


def append_to_files(callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Let callbacks append to the files that they began; call it before `fit`."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            callback.append = True


def _has_own(callback: keras.callbacks.Callback) -> bool:
    return hasattr(callback, "get_state") and hasattr(callback, "set_state")


def _size(callback: keras.callbacks.CSVLogger) -> int:
    file = callback.csv_file
    return os.path.getsize(callback.filename) if file is not None else 0


def _continue_file(callback: keras.callbacks.CSVLogger, size: int) -> None:
    """Remove the lines that were written after the state was captured."""
    if os.path.getsize(callback.filename) > size:
        if size and not _ends_line(callback.filename, size):
            raise ValueError(f"size is {size}, within a line of {callback.filename}")
        os.truncate(callback.filename, size)
    callback.append_header = size == 0


def _ends_line(file: str, size: int) -> bool:
    with open(file, "rb") as stream:
        stream.seek(size - 1)
        return stream.read(1) == b"\n"


def _packed(value: Any, path: str, arrays: Arrays, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    name, _, key = path.partition("/")
    if depth > MAX_DEPTH:
        text = f"get_state returns more than {MAX_DEPTH} levels of lists and dictionaries"
        raise UserCodeError(f"callback '{name}': {text}; return a flatter value.")
    if isinstance(value, dict):
        return {str(k): _packed(v, f"{path}/{k}", arrays, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        items = enumerate(value)
        return [_packed(item, f"{path}/{index}", arrays, depth + 1) for index, item in items]
    if isinstance(value, np.ndarray | np.generic) or hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.kind in "biufc" or array.dtype.kind == "V":
            arrays[path] = array
            return {"$array": path}
    raise UserCodeError(
        f"callback '{name}': get_state returns a {type(value).__name__} under '{key}', which "
        "cannot be saved; return numbers, text, arrays, and lists and dictionaries of them."
    )


def _unpacked(value: Any, arrays: Arrays) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"$array"}:
        name = value["$array"]
        array = arrays.get(name) if isinstance(name, str) else None
        if array is None:
            raise ValueError(f"state.npz holds no array {shown(name)}")
        return array if array.ndim else array[()]
    return {key: _unpacked(item, arrays) for key, item in value.items()}
