import numpy as np
import pytest

from fitx.build.make import make
from fitx.experiment.schema import Checkpoint
from fitx.training.state.best_epoch import BestEpochTracker
from fitx.training.state.variables import model_variables


@pytest.fixture
def step(tiny):
    return make(tiny()).step


@pytest.mark.parametrize(
    ("monitor", "mode", "values", "best"),
    [
        ("val_loss", None, [3.0, 1.0, 2.0], 2),
        ("val_accuracy", None, [0.3, 0.5, 0.4], 2),
        ("val_loss", "max", [3.0, 1.0, 2.0], 1),
        ("reward", "max", [1.0, 3.0, 3.0], 2),
        ("val_loss", None, [1.0, 1.0, 1.0], 1),
        ("val_loss", None, [float("nan"), 2.0, float("nan"), 1.0], 4),
        ("reward", "max", [float("nan"), 2.0, float("nan"), float("inf")], 4),
    ],
)
def test_the_best_epoch_is_the_first_with_the_best_value(step, monitor, mode, values, best):
    tracker = BestEpochTracker(Checkpoint(monitor=monitor, mode=mode))
    for epoch, value in enumerate(values, start=1):
        tracker.update(epoch, {monitor: value}, model_variables(step))
    assert tracker.epoch.epoch == best
    assert tracker.epoch.to_json()["value"] == values[best - 1]


def test_without_a_monitor_no_epoch_is_the_best(step):
    tracker = BestEpochTracker(Checkpoint())
    tracker.update(1, {"loss": 1.0}, model_variables(step))
    assert tracker.epoch is None


def test_epochs_that_do_not_log_the_value_are_skipped(step):
    tracker = BestEpochTracker(Checkpoint(monitor="val_loss"))
    tracker.update(1, {"loss": 1.0}, model_variables(step))
    tracker.update(2, {"val_loss": 5.0}, model_variables(step))
    assert tracker.epoch.epoch == 2


def test_the_weights_are_a_copy(step):
    tracker = BestEpochTracker(Checkpoint(monitor="loss"))
    tracker.update(1, {"loss": 1.0}, model_variables(step))
    name, before = next((n, a.copy()) for n, a in tracker.epoch.weights.items())
    for variable in step.networks["model"].trainable_variables:
        variable.assign_add(np.ones(variable.shape))
    assert np.array_equal(tracker.epoch.weights[name], before)
