"""The loss and the metrics that a step is compiled with, by the names of Keras 3 and tf.keras 2."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from fitx.compat import compile_arguments
from fitx.compat.loss_tracker import loss_tracker
from fitx.compat.output_losses import count_rows
from fitx.engine.step_runner import MissingLoss
from fitx.engine.trainer import Trainer


class CompiledLosses(Trainer):
    """Base, before keras.Model, that records whether a step uses its loss and metrics.

    It also gives `compiled_loss` and `compiled_metrics` the meaning that they had in tf.keras 2,
    for steps with the text of the guide of 2020.
    """

    _given_loss: Any = None

    @property
    def loss(self) -> Any:
        """The loss that was given to `compile`; None without one."""
        self.execution.usage.loss = True
        return self._given_loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        self._given_loss = loss

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the compiled loss plus the losses of layers, as `keras.Model` does.

        Raises:
            MissingLoss: There is neither.
        """
        self.execution.usage.loss = True
        if self._given_loss is None and not self.losses:
            raise MissingLoss
        count_rows(compile_arguments.compiled_loss(self))
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Update the compiled metrics and return all results, as `keras.Model` does."""
        self.execution.usage.metrics = True
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def compiled_loss(
        self,
        y: Any,
        y_pred: Any,
        sample_weight: Any = None,
        regularization_losses: Any = None,
    ) -> Any:
        """Return the compiled loss and log it as the mean over examples, as tf.keras 2 does.

        Args:
            y: The labels.
            y_pred: The outputs of the network.
            sample_weight: Weights of the examples.
            regularization_losses: Losses to add, usually `self.losses`.

        Raises:
            MissingLoss: There is no compiled loss.
        """
        self.execution.usage.loss = True
        compiled = compile_arguments.compiled_loss(self)
        if compiled is None:
            raise MissingLoss
        count_rows(compiled)
        loss = compiled(y, y_pred, sample_weight)
        for regularization_loss in regularization_losses or ():
            loss += tf.cast(regularization_loss, loss.dtype)
        tracker = loss_tracker(self)
        if tracker is not None:
            tracker.update_state(loss, sample_weight=tf.shape(tf.nest.flatten(y)[0])[0])
        return loss

    @property
    def compiled_metrics(self) -> Any:
        """The metrics of `compile`, to be updated as in tf.keras 2."""
        self.execution.usage.metrics = True
        return compile_arguments.compiled_metrics(self) or _NoMetrics()


class _NoMetrics:
    """Takes the place of the compiled metrics of a step without any."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Update nothing."""
