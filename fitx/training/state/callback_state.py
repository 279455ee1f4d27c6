"""What callbacks remember from one epoch to the next, taken down and put back."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from fitx.errors import StorageError, UserCodeError
from fitx.json_model import found
from fitx.training.state.callback_schema import REMEMBERED, attributes, demand_state

MAX_DEPTH = 100
"""Levels of what a callback remembers: fewer than a file of a checkpoint may have."""

Arrays = dict[str, np.ndarray]


def named(callbacks: Iterable[keras.callbacks.Callback]) -> dict[str, keras.callbacks.Callback]:
    """Return callbacks by the name of their class, a second one of it as `EarlyStopping#2`."""
    found: dict[str, keras.callbacks.Callback] = {}
    for callback in callbacks:
        name, count = type(callback).__name__, 1
        while (name if count == 1 else f"{name}#{count}") in found:
            count += 1
        found[name if count == 1 else f"{name}#{count}"] = callback
    return found


def matched(saved: Mapping[str, str], now: Mapping[str, str]) -> dict[str, str]:
    """Return which callbacks of a checkpoint those of a run go on from, by their names now.

    A callback goes on from one of the same class and options, wherever that stands in the list.
    With other options it begins anew: what it remembers may be of another value.

    Args:
        saved: The options of the checkpoint's callbacks, as JSON, by name.
        now: Those of the run's.
    """
    free, found = dict(saved), {}
    for name, options in now.items():
        alike = [s for s, text in free.items() if text == options and _class(s) == _class(name)]
        if alike:
            found[name] = alike[0]
            del free[alike[0]]
    return found


def _class(name: str) -> str:
    return name.partition("#")[0]


def remembers(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback keeps something in checkpoints."""
    return _has_own(callback) or bool(attributes(callback))


def loses_state(callback: keras.callbacks.Callback) -> bool:
    """Whether nothing is known of what a callback remembers."""
    is_known = type(callback) in REMEMBERED or vars(type(callback)).get("stateless")
    return not is_known and not _has_own(callback)


def take(name: str, callback: keras.callbacks.Callback, arrays: Arrays) -> Any:
    """Return what a callback remembers as JSON has it; what are arrays goes into `arrays`.

    Raises:
        UserCodeError: its `get_state` returns what cannot be kept, or is nested too deeply.
    """
    if _has_own(callback):
        state = callback.get_state()  # type: ignore[attr-defined]
        _packed(state, name, {})  # Refuses what would be too deep for the copy, too.
        # A callback may go on changing what it returned.
        return _packed(copy.deepcopy(state), name, arrays)
    # Some attributes come into being when training begins.
    keys = [key for key in attributes(callback) if hasattr(callback, key)]
    state = {key: getattr(callback, key) for key in keys}
    if isinstance(callback, keras.callbacks.CSVLogger):
        state["size"] = _size(callback)
    return _packed(state, name, arrays)


def put_back(
    callback: keras.callbacks.Callback, packed: Any, arrays: Arrays, epoch: int | None = None
) -> None:
    """Let a callback remember what `take` took.

    Args:
        callback: The callback.
        packed: What `take` returned.
        arrays: What it put there.
        epoch: Epochs that are over; None if that is not known.

    Raises:
        StorageError: It is nothing that `take` took; says what is wrong.
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


def keep_files(callbacks: Iterable[keras.callbacks.Callback]) -> None:
    """Let callbacks go on with the files that they began; to be called before `fit`."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            callback.append = True


def _has_own(callback: keras.callbacks.Callback) -> bool:
    return hasattr(callback, "get_state") and hasattr(callback, "set_state")


def _size(callback: keras.callbacks.CSVLogger) -> int:
    file = callback.csv_file
    return os.path.getsize(callback.filename) if file is not None else 0


def _continue_file(callback: keras.callbacks.CSVLogger, size: int) -> None:
    """Cut off what was written after the state was taken."""
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
        "cannot be kept; return numbers, text, arrays, and lists and dictionaries of them."
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
            raise ValueError(f"state.npz holds no array {found(name)} of it")
        return array if array.ndim else array[()]
    return {key: _unpacked(item, arrays) for key, item in value.items()}
