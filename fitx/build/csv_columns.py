"""The columns of Keras' CSVLogger: one for every value that some epoch logs, and no others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from fitx.build.built import BuiltExperiment


def with_columns(
    callbacks: Iterable[keras.callbacks.Callback], built: BuiltExperiment
) -> list[keras.callbacks.Callback]:
    """Return the callbacks, each CSVLogger preceded by one that names its columns.

    Keras takes the names from the first epoch. Where that is not validated it makes up a `val_`
    name for each of them, so the values of a `test_step` that logs others would be lost.
    """
    validates = "validation" in built.data.splits and not built.experiment.fit.is_never_validated
    measured = built.step.execution.logs["test"].names if validates else ()
    names = tuple(f"val_{name}" for name in measured)
    found: list[keras.callbacks.Callback] = []
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.CSVLogger):
            found.append(_Columns(callback, names))
        found.append(callback)
    return found


class _Columns(keras.callbacks.Callback):
    """Names the columns of a CSVLogger when the first epoch ends, right before that writes it."""

    def __init__(self, logger: Any, measured: tuple[str, ...]) -> None:
        super().__init__()
        self._logger, self._measured = logger, measured

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self._logger.keys is None:
            self._logger.keys = sorted({*(logs or {}), *self._measured})
