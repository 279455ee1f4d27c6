"""A keras.Model whose `fit` and `evaluate` run its steps in the modes it is given."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import keras

from fitx.compat.fit_hooks import HookedModel
from fitx.engine.callback_list import ChunkCallbackList
from fitx.engine.loops.ad_hoc import AdHocFunction
from fitx.engine.metric_sources import untouched_loss
from fitx.engine.step_runner import StepFunction, StepRunner
from fitx.errors import UserCodeError


class Trainer(HookedModel):
    """Keras' loop over epochs, around functions that run one batch a call or many."""

    def __init__(self) -> None:
        super().__init__()
        self._execution = StepRunner(self)
        self.train_function: StepFunction | None = None
        self.test_function: StepFunction | None = None
        self._is_fitting = False

    @property
    def execution(self) -> StepRunner:
        """How the steps are executed."""
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
        """Train as `keras.Model.fit` does; a mode that takes blocks is fed blocks.

        Args:
            steps_until_due: Tells how many steps may run before callbacks must hear of them.
            skip_steps: How many steps of the first epoch ran before, in another process: they
                are passed over, and the data begins with the step after them.

        All else is Keras' own.

        Raises:
            UserCodeError: `fit` runs already.
        """
        if self._is_fitting:
            raise UserCodeError(
                "fit was called while fit runs; a callback trains further batches by "
                "self.model.train_on_batch, and another model by that model's own fit."
            )
        told = ChunkCallbackList(
            callbacks or (), self, add_history=True, epochs=epochs, steps=steps_per_epoch
        )
        train, test = self.make_train_function(force=True), self.make_test_function(force=True)
        steps_per_epoch = told.follow("train", train, steps_per_epoch, steps_until_due)
        validation_steps = told.follow("test", test, validation_steps)
        told.passed = train.passed = skip_steps
        self._is_fitting = True
        try:
            with warnings.catch_warnings():
                # That a monitored value is logged is known by now; it is missing where an epoch
                # is not validated, and Keras would say so after each such epoch.
                warnings.filterwarnings("ignore", ".* conditioned on metric", UserWarning)
                return super().fit(
                    *args,
                    callbacks=told,
                    epochs=epochs,
                    steps_per_epoch=steps_per_epoch,
                    validation_steps=validation_steps,
                    **keywords,
                )
        finally:
            self._is_fitting = False

    def evaluate(
        self,
        x: Any = None,
        *args: Any,
        steps: int | None = None,
        callbacks: Any = None,
        **keywords: Any,
    ) -> Any:
        """Measure as `keras.Model.evaluate` does; an epoch under way keeps what it logged.

        Batches that fitx does not feed, such as arrays, run one a call in every mode.
        """
        if isinstance(callbacks, ChunkCallbackList):
            # It is `fit` that validates.
            return super().evaluate(x, *args, steps=steps, callbacks=callbacks, **keywords)
        told = ChunkCallbackList(callbacks or (), self, epochs=1, steps=steps)
        function: StepFunction | AdHocFunction
        if self.execution.accepts("test", x, steps):
            function = self.execution.function("test")
            steps = told.follow("test", function, steps)
        else:
            function = self.execution.ad_hoc("test", returns_results=False)
        with self._apart("test", function):
            return super().evaluate(x, *args, steps=steps, callbacks=told, **keywords)

    def train_on_batch(self, *args: Any, **keywords: Any) -> Any:
        """Train on one batch and return its values alone; an epoch under way keeps what it logged.

        Takes what `keras.Model.train_on_batch` takes, in every mode.
        """
        with self._apart("train", self.execution.ad_hoc("train")):
            return super().train_on_batch(*args, **keywords)

    def test_on_batch(self, *args: Any, **keywords: Any) -> Any:
        """Measure one batch and return its values alone; an epoch under way keeps what it logged.

        Takes what `keras.Model.test_on_batch` takes, in every mode.
        """
        with self._apart("test", self.execution.ad_hoc("test")):
            return super().test_on_batch(*args, **keywords)

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
        for log in self.execution.logs.values():
            log.reset()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the results of the step's metrics, as `keras.Model` does.

        The loss tracker that Keras keeps is left out while a step is traced that does not feed
        it, or `{"loss": loss, **self.compute_metrics(x, y, y_pred)}` would log 0.0 as the loss.
        """
        results: dict[str, Any] = super().get_metrics_result()
        untouched = untouched_loss(self)
        if untouched and sum(metric.name == "loss" for metric in self.metrics) == 1:
            del results["loss"]
        return results

    @contextmanager
    def _apart(self, kind: str, function: StepFunction | AdHocFunction) -> Iterator[None]:
        """Let Keras call a function of its own; put back what an epoch under way has logged."""
        name = f"{kind}_function"
        before = getattr(self, name)
        setattr(self, name, function)
        try:
            with self.execution.epoch_kept(self) if self._is_fitting else nullcontext():
                yield
        finally:
            setattr(self, name, before)

    def _epoch_values(self, logs: Any) -> dict[str, float]:
        """Return an epoch's values; `fit` and `evaluate` of Keras ask here at an epoch's end."""
        log = getattr(logs, "log", None)
        if log is None:
            return {}
        log.running = False
        result: dict[str, float] = log.result(everywhere=True)
        return result
