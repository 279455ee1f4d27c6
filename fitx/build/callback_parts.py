"""Makes the callbacks of an experiment, and tells which of them need every batch.

Keras' callbacks are made twice: once by `check_callbacks`, so that a refused option is an error
before the run has a folder, and once by `make_callbacks`, when that folder is known.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from fitx.build import plugin_checks
from fitx.build.built import BuiltExperiment
from fitx.build.make_parts import call_part, class_of, function_of, make_value
from fitx.build.preflight import trace_and_check
from fitx.data.splits import Splits
from fitx.errors import DeviceError, StorageError
from fitx.experiment.checks.callback_files import make_folders, written_below
from fitx.experiment.experiment import Experiment
from fitx.experiment.yaml.tree import KeyPath, dotted
from fitx.registry.kinds import Part

_BATCH_HOOKS = tuple(
    f"on_{kind}batch_{when}" for kind in ("", "train_", "test_") for when in ("begin", "end")
)
"""The methods that a callback overrides to be called for every batch."""

_EXAMPLES = 256
"""Rows of the data that callbacks get as `examples`."""

_BY_BATCH = ("profile_batch", "write_steps_per_second")
"""The options of TensorBoard, besides `update_freq`, that count or time batches."""


def check_callbacks(experiment: Experiment) -> None:
    """Make every Keras callback once, so that Keras' refusals are raised before the run starts."""
    for index, part in enumerate(experiment.callbacks):
        if not _is_own(experiment, part):
            _keras_callback(experiment, part, ("callbacks", index))


def make_callbacks(
    experiment: Experiment, run: Path, splits: Splits
) -> list[keras.callbacks.Callback]:
    """Make the callbacks of a run, which write into its folder, and images into `samples`."""
    values_from_fitx = {
        "folder": run / "samples",
        "examples": _examples(splits),
        "seed": experiment.seed,
    }
    return [
        plugin_checks.callback(
            part, call_part(experiment, part, ("callbacks", index), values_from_fitx)
        )
        if _is_own(experiment, part)
        else _writing_callback(experiment, written_below(part, run), ("callbacks", index))
        for index, part in enumerate(experiment.callbacks)
    ]


def _examples(splits: Splits) -> Any:
    """Return the first inputs of the test split, or else of validation or train."""
    split = next(splits[name] for name in ("test", "validation", "train") if name in splits)
    return keras.tree.map_structure(lambda array: array[:_EXAMPLES], split.x)


def _writing_callback(experiment: Experiment, part: Part, path: KeyPath) -> Any:
    try:
        make_folders(part)
    except OSError as error:
        text = f"{dotted(path)}: cannot make the folder of {part.options['filename']}"
        raise StorageError(f"{text}: {error.strerror}") from error
    return _keras_callback(experiment, part, path)


def _keras_callback(experiment: Experiment, part: Part, path: KeyPath) -> Any:
    if class_of(part) is keras.callbacks.TensorBoard:
        _check_tensor_board(experiment, part, path)
    part = trace_and_check.with_mode(part, experiment.part_index)
    # Schedules of Keras' callbacks count epochs.
    return make_value(experiment, part, path, experiment.fit.epochs)


def _check_tensor_board(experiment: Experiment, part: Part, path: KeyPath) -> None:
    """Refuse options that would make Keras fail in the middle of the first epoch."""
    if part.options.get("write_steps_per_second") and len(experiment.optimizers) > 1:
        text = f"works with one optimizer; this step has {len(experiment.optimizers)}."
        raise experiment.error((*path, "write_steps_per_second"), text)
    if find_spec("tensorboard") is None:
        text = f"the callback '{part.name}' needs a package: run `pip install tensorboard`."
        raise DeviceError(text)


def reads_batches(experiment: Experiment) -> list[KeyPath]:
    """Return the keys of the callbacks that must be called for every batch."""
    numbered = enumerate(experiment.callbacks)
    return [("callbacks", i) for i, part in numbered if _reads_batches(experiment, part)]


def _reads_batches(experiment: Experiment, part: Part) -> bool:
    if not _is_own(experiment, part) and class_of(part) is keras.callbacks.TensorBoard:
        # With other options it writes once per epoch, although it has methods for batches.
        by_batch = part.options.get("update_freq", "epoch") != "epoch"
        return by_batch or any(part.options.get(k) for k in _BY_BATCH)
    result = _made_by(experiment, part)
    # A function that makes a callback may return one with batch methods.
    plain = keras.callbacks.Callback
    return any(getattr(result, hook, None) is not getattr(plain, hook) for hook in _BATCH_HOOKS)


def writes_events(experiment: Experiment) -> bool:
    """Return whether a TensorBoard callback, or one derived from it, writes into the run."""
    return any(
        isinstance(result := _made_by(experiment, part), type)
        and issubclass(result, keras.callbacks.TensorBoard)
        for part in experiment.callbacks
    )


def _made_by(experiment: Experiment, part: Part) -> Any:
    """Return the class or the function that makes a callback."""
    is_own = _is_own(experiment, part)
    return function_of(experiment, part) if is_own else class_of(part)


def _is_own(experiment: Experiment, part: Part) -> bool:
    """Return whether a part belongs to a plugin or to fitx, not to Keras."""
    part_index = experiment.part_index
    definition = part_index.find(part.kind, part.name)
    is_plugin = definition is not None and definition.module.path in experiment.plugins
    is_plugin = is_plugin or part_index.plugin_of(part.kind, part.name) is not None
    return is_plugin or part_index.is_shipped(part.kind, part.name)


def with_columns(
    callbacks: Iterable[keras.callbacks.Callback], built: BuiltExperiment
) -> list[keras.callbacks.Callback]:
    """Return the callbacks, each CSVLogger preceded by one that sets its columns.

    Keras takes the columns from the first epoch. If that epoch is not validated, Keras assumes a
    `val_` name for each, so other values of a `test_step` would be lost.
    """
    validates = "validation" in built.data.splits and not built.experiment.fit.is_never_validated
    measured = built.step.execution.logs["test"].names if validates else ()
    names = tuple(f"val_{name}" for name in measured)
    wrapped: list[keras.callbacks.Callback] = []
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            wrapped.append(_Columns(callback, names))
        wrapped.append(callback)
    return wrapped


class _Columns(keras.callbacks.Callback):
    """Sets the columns of a CSVLogger at the end of the first epoch, before it writes them."""

    def __init__(self, logger: Any, measured: tuple[str, ...]) -> None:
        super().__init__()
        self._logger, self._measured = logger, measured

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._logger.keys is None:
            self._logger.keys = sorted({*(logs or {}), *self._measured})
