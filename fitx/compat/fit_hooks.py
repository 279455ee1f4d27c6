"""Overrides two private members of keras.Model that decide what `fit` runs and logs.

`fit` and `evaluate` of Keras get an epoch's values from a private method, which returns those of
the metrics or of the last batch. fitx overrides it to return means over the epoch; if Keras renamed
the method, callbacks would get no values.
A model that is created under a strategy keeps it in a private attribute, by which `fit` would
distribute the data and trace the networks once more; fitx distributes batches itself.
Tests that fail when Keras changes: tests/compat/test_fit_hooks.py:
test_keras_still_asks_for_an_epochs_values_by_get_metrics_result_or_logs and
test_keras_still_distributes_data_by_the_strategy_of_the_model.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import keras

from fitx.compat.required_names import demand

demand(keras.Model, "_get_metrics_result_or_logs", "distribute_strategy")


if TYPE_CHECKING:
    from keras import Model as _Model
else:
    # Keras replaces keras.Model among the bases of a class that is made from inputs and outputs.
    # That must not happen to a class that others share.
    _Model = object


class FitHooks(_Model):
    """Base of classes beside keras.Model that give an epoch's values and distribute no data."""

    @property
    def _distribute_strategy(self) -> None:
        return None

    @_distribute_strategy.setter
    def _distribute_strategy(self, strategy: Any) -> None:
        """Ignore the strategy, which keras.Model sets when it is made."""

    @abstractmethod
    def _epoch_values(self, logs: Any) -> dict[str, float]:
        """Return an epoch's values.

        Args:
            logs: What the training or test function returned last.
        """

    def _get_metrics_result_or_logs(self, logs: Any) -> dict[str, float]:
        return self._epoch_values(logs)
