"""Lets `fit` and `evaluate` of a keras.Model run its steps as an execution plan says."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import keras

from fitx.compat.fit_hooks import FitHooks
from fitx.engine.callback_list import ChunkCallbackList, KerasFunction
from fitx.engine.metric_sources import unfed_metrics
from fitx.engine.step_runner import StepRunner
from fitx.errors import UserCodeError


class Trainer(FitHooks):
    """Base, before keras.Model, that keeps Keras' loop over epochs and replaces its functions.

    A function may run one batch a call, or all batches of an epoch. It has no constructor, so that
    it fits any keras.Model, and reserves the attribute `execution`.
    """

    train_function: KerasFunction | None
    test_function: KerasFunction | None
    _is_fitting = False

    @property
    def execution(self) -> StepRunner:
        """Runs the methods of the step; made on first use, in the scope of its strategy."""
        if "_execution" not in vars(self):
            self._execution = StepRunner(self)
        return self._execution

    def fit(
        self,
        *args: Any,
        callbacks: Iterable[keras.callbacks.Callback] | None = None,
        epochs: int = 1,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        skip_steps: int = 0,
        steps_until_due: Callable[[], int] = lambda: sys.maxsize,
        **keywords: Any,
    ) -> keras.callbacks.History:
        """Train as `keras.Model.fit` does; in a mode that takes blocks, data are blocks.

        Args:
            skip_steps: Steps of the first epoch that another process ran before. They are not run
                and not passed to callbacks; the data begin with the step after them.
            steps_until_due: Returns how many steps may run before callbacks must be called.

        All other arguments are those of Keras.

        Raises:
            UserCodeError: `fit` is called while `fit` runs.
        """
        with self._fitting():
            callback_list = ChunkCallbackList(
                callbacks or (), self, add_history=True, epochs=epochs, steps=steps_per_epoch
            )
            self.train_function, train_calls = callback_list.subscribe(
                "train",
                self.execution.function("train"),
                steps_per_epoch,
                steps_until_due=steps_until_due,
                skip_steps=skip_steps,
            )
            self.test_function, test_calls = callback_list.subscribe(
                "test", self.execution.function("test"), validation_steps
            )
            return super().fit(
                *args,
                callbacks=callback_list,
                epochs=epochs,
                steps_per_epoch=train_calls,
                validation_steps=test_calls,
                **keywords,
            )

    def evaluate(
        self,
        x: Any = None,
        *args: Any,
        steps: int | None = None,
        callbacks: Any = None,
        **keywords: Any,
    ) -> Any:
        """Evaluate as `keras.Model.evaluate` does; values logged so far in an epoch are kept.

        Data that fitx does not feed, such as arrays, run one batch a call in every mode.
        """
        if isinstance(callbacks, ChunkCallbackList):
            # The call of `fit`, for its validation.
            return super().evaluate(x, *args, steps=steps, callbacks=callbacks, **keywords)
        callback_list = ChunkCallbackList(callbacks or (), self, epochs=1, steps=steps)
        function: KerasFunction = self.execution.ad_hoc("test", returns_results=False)
        if self.execution.accepts("test", x, steps):
            function, steps = callback_list.subscribe(
                "test", self.execution.function("test"), steps
            )
        with self._function_replaced("test", function):
            return super().evaluate(x, *args, steps=steps, callbacks=callback_list, **keywords)

    def train_on_batch(self, *args: Any, **keywords: Any) -> Any:
        """Train on one batch and return its values; values logged so far in an epoch are kept.

        Takes the arguments of `keras.Model.train_on_batch`, in every mode.
        """
        with self._function_replaced("train", self.execution.ad_hoc("train")):
            return super().train_on_batch(*args, **keywords)

    def test_on_batch(self, *args: Any, **keywords: Any) -> Any:
        """Evaluate one batch and return its values; values logged so far in an epoch are kept.

        Takes the arguments of `keras.Model.test_on_batch`, in every mode.
        """
        with self._function_replaced("test", self.execution.ad_hoc("test")):
            return super().test_on_batch(*args, **keywords)

    def make_train_function(self, force: bool = False) -> KerasFunction | None:
        """Return the function that `fit` calls, which `fit` and `train_on_batch` have set."""
        return self.train_function

    def make_test_function(self, force: bool = False) -> KerasFunction | None:
        """Return the function that `evaluate` calls, which its callers here have set."""
        return self.test_function

    def reset_metrics(self) -> None:
        """Reset the metrics and all logged values, for a new epoch or evaluation."""
        super().reset_metrics()
        for log in self.execution.logs.values():
            log.reset()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the results of the step's metrics, as `keras.Model` does.

        A metric that the traced method does not update is left out. Otherwise the loss tracker of
        Keras would log 0.0 in `{"loss": loss, **self.compute_metrics(x, y, y_pred)}`, and Keras'
        own `test_step` would log 0.0 for every metric that only `train_step` updates.
        """
        results: dict[str, Any] = super().get_metrics_result()
        unfed = unfed_metrics(self)
        names = [metric.name for metric in self.metrics]
        for metric in unfed:
            if names.count(metric.name) == 1:
                results.pop(metric.name, None)
        return results

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Refuse a call of `fit` within `fit`, and drop a warning of Keras."""
        if self._is_fitting:
            raise UserCodeError(
                "fit was called while fit runs; a callback trains further batches by "
                "self.model.train_on_batch, and another model by that model's own fit."
            )
        self._is_fitting = True
        try:
            with warnings.catch_warnings():
                # The names of monitored values were checked before. In an epoch without
                # validation they are missing, and Keras would warn each time.
                warnings.filterwarnings("ignore", ".* conditioned on metric", UserWarning)
                yield
        finally:
            self._is_fitting = False

    @contextmanager
    def _function_replaced(self, kind: str, function: KerasFunction) -> Iterator[None]:
        """Let Keras call another function; restore it, and the values an epoch has logged."""
        name = f"{kind}_function"
        before = getattr(self, name)
        setattr(self, name, function)
        try:
            with self.execution.logs_restored(self) if self._is_fitting else nullcontext():
                yield
        finally:
            setattr(self, name, before)

    def _epoch_values(self, logs: Any) -> dict[str, float]:
        """Return the values of an epoch; `fit` and `evaluate` of Keras call this at its end."""
        log = getattr(logs, "log", None)
        if log is None:
            return {}
        log.running = False
        result: dict[str, float] = log.result(everywhere=True)
        return result
