"""A callback may measure, predict and train with the model that `fit` trains, in every mode."""

import pytest

from fitx.engine.modes.execution_modes import MODES
from fitx.errors import UserCodeError

ASKING = """
import keras
import numpy as np
from fitx import callbacks

X = np.linspace(-1, 1, 44).reshape(11, 4)
Y = X.sum(axis=1, keepdims=True)


@callbacks.register
class Asking(keras.callbacks.Callback):
    '''Asks the model whatever it can be asked, within and after a validation and an epoch.'''

    def __init__(self, *, trains: bool = False):
        super().__init__()
        self.trains, self.is_asking = trains, False

    def on_train_batch_end(self, batch, logs=None):
        self.model.test_on_batch(X, Y)

    def on_test_batch_end(self, batch, logs=None):
        if not self.is_asking:
            self.asked("within")

    def on_test_end(self, logs=None):
        self.tested = self.asked("tested")

    def on_epoch_end(self, epoch, logs):
        logs.update({**self.tested, **self.asked("ended")})
        if self.trains:
            logs["asked_before"] = np.mean((self.model.predict_on_batch(X) - Y) ** 2)
            logs["asked_trained"] = self.model.train_on_batch(X, Y, return_dict=True)["loss"]

    def asked(self, when):
        model, self.is_asking = self.model, True
        errors = {
            "evaluate": model.evaluate(X, Y, batch_size=4, verbose=0, return_dict=True)["mae"],
            "named": model.test_on_batch(X, Y, return_dict=True)["mae"],
            "listed": model.test_on_batch(X, Y)[1],
            "at_once": np.abs(model.predict_on_batch(X) - Y).mean(),
            "predicted": np.abs(model.predict(X, batch_size=2, verbose=0) - Y).mean(),
        }
        self.is_asking = False
        return {f"asked_{when}_{name}": value for name, value in errors.items()}
"""
NESTED = """
import keras
import numpy as np
from fitx import callbacks


@callbacks.register
class Nested(keras.callbacks.Callback):
    '''Trains within a training.'''

    def on_epoch_end(self, epoch, logs=None):
        self.model.fit(np.ones((4, 4)), np.ones((4, 1)), verbose=0)
"""


def own(run):
    """Return what a run logged, times and what the callback added aside."""
    return [
        {k: v for k, v in line.items() if k != "seconds" and not k.startswith("asked")}
        for line in run.epochs
    ]


@pytest.mark.parametrize("mode", MODES)
def test_a_callback_that_asks_is_answered_and_changes_nothing(tiny, trained, mode):
    quiet, _ = trained(tiny(f"execution.mode={mode}"))
    words = f"execution.mode={mode}", "callbacks=[plugin]"
    run, _ = trained(tiny(*words, plugin=ASKING))
    assert own(run) == own(quiet)
    assert (
        run.json("summary.json")["metrics"]["test_loss"]
        == (quiet.json("summary.json")["metrics"]["test_loss"])
    )
    for line in run.epochs:
        asked = [value for name, value in line.items() if name.startswith("asked")]
        assert len(asked) == 10
        assert asked == pytest.approx([asked[0]] * 10, rel=1e-5)


def test_a_callback_trains_further_batches_to_the_same_weights_in_every_mode(tiny, trained):
    words = "callbacks=[{name: plugin, trains: true}]", "fit.epochs=2"
    plain, fused = (
        trained(tiny(f"execution.mode={mode}", *words, plugin=ASKING))[0]
        for mode in ("plain", "fused")
    )
    assert own(fused) == own(plain)
    for line in plain.epochs:
        assert line["asked_trained"] == pytest.approx(line["asked_before"], rel=1e-5)
    untouched, _ = trained(tiny("execution.mode=plain", "fit.epochs=2"))
    assert own(untouched)[0] == own(plain)[0]
    assert own(untouched)[1] != own(plain)[1]


def test_a_fit_within_a_fit_is_refused_with_the_way_to_train_on(tiny, trained):
    _, error = trained(tiny("callbacks=[plugin]", plugin=NESTED))
    assert isinstance(error, UserCodeError)
    assert str(error).startswith(
        "fit was called while fit runs; a callback trains further batches by "
        "self.model.train_on_batch"
    )
