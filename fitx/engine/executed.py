"""A keras.Model whose `fit`, `evaluate` and `predict` run its steps in the modes it is given."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import keras

from fitx.engine.callbacks import Callbacks
from fitx.engine.execution import Execution, StepFunction
from fitx.engine.log import Log

PREDICTED_AT_ONCE = 16
"""Batches that one call predicts in a fused mode."""


class Executed(keras.Model):
    """Keras' loop over epochs, around functions that run one batch a call or many."""

    def __init__(self) -> None:
        super().__init__()
        # Or `fit` would distribute the data and probe the networks, which Keras gets wrong.
        self._distribute_strategy = None
        self._execution = Execution(self)
        self.train_function: StepFunction | None = None
        self.test_function: StepFunction | None = None

    @property
    def logs(self) -> dict[str, Log]:
        """What the step returns, in training ("train") and in evaluation ("test")."""
        return self.execution.logs

    @property
    def execution(self) -> Execution:
        """How the steps are executed."""
        return self._execution

    def fit(
        self,
        *args: Any,
        callbacks: Iterable[keras.callbacks.Callback] | None = None,
        epochs: int = 1,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        steps_passed: int = 0,
        **keywords: Any,
    ) -> keras.callbacks.History:
        """Train as `keras.Model.fit` does; a mode that takes blocks is fed blocks.

        Args:
            steps_passed: How many steps of the first epoch ran before, in another process: they
                are passed over, and the data begins with the step after them.

        All else is Keras' own.
        """
        told = Callbacks(
            callbacks or (), self, add_history=True, epochs=epochs, steps=steps_per_epoch
        )
        train, test = self.make_train_function(), self.make_test_function()
        steps_per_epoch = told.follow("train", train, steps_per_epoch, self.execution.limit)
        validation_steps = told.follow("test", test, validation_steps)
        told.passed = train.passed = steps_passed
        with warnings.catch_warnings():
            # That a monitored value is logged is known by now; it is missing where an epoch is
            # not validated, and Keras would say so after each such epoch.
            warnings.filterwarnings("ignore", ".* conditioned on metric", UserWarning)
            return super().fit(
                *args,
                callbacks=told,
                epochs=epochs,
                steps_per_epoch=steps_per_epoch,
                validation_steps=validation_steps,
                **keywords,
            )

    def evaluate(
        self, *args: Any, steps: int | None = None, callbacks: Any = None, **keywords: Any
    ) -> Any:
        """Measure as `keras.Model.evaluate` does; an epoch under way keeps what it logged."""
        if not isinstance(callbacks, Callbacks):
            # Else it is `fit` that validates, which has seen to this.
            callbacks = Callbacks(callbacks or (), self, epochs=1, steps=steps)
            steps = callbacks.follow("test", self.make_test_function(), steps)
        with self.execution.epoch_kept(self):
            return super().evaluate(*args, steps=steps, callbacks=callbacks, **keywords)

    def predict(self, *args: Any, **keywords: Any) -> Any:
        """Predict as `keras.Model.predict` does, in the mode of the evaluation."""
        mode = self.execution.modes["test"]
        self.jit_compile = mode.xla
        self.steps_per_execution = PREDICTED_AT_ONCE if mode.fused else 1
        try:
            return super().predict(*args, **keywords)
        finally:
            self.jit_compile, self.steps_per_execution = False, 1

    def make_train_function(self, force: bool = False) -> StepFunction:
        """Return the function that `fit` calls."""
        if force or self.train_function is None:
            self.train_function = self.execution.function("train")
        return self.train_function

    def make_test_function(self, force: bool = False) -> StepFunction:
        """Return the function that `evaluate` calls."""
        if force or self.test_function is None:
            self.test_function = self.execution.function("test")
        return self.test_function

    def reset_metrics(self) -> None:
        """Begin a new epoch, of training or of evaluation."""
        super().reset_metrics()
        for log in self.logs.values():
            log.reset()

    def logged(self) -> dict[str, float]:
        """Return what training logged so far in the running epoch; waits for the device."""
        return self.logs["train"].result()

    def _get_metrics_result_or_logs(self, logs: Any) -> dict[str, float]:
        """Return an epoch's values; `fit` and `evaluate` of Keras ask here at an epoch's end."""
        log = getattr(logs, "log", None)
        if log is None:
            return {}
        log.running = False
        result: dict[str, float] = log.result(everywhere=True)
        return result
