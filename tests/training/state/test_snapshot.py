import random

import keras
import numpy as np
import pytest

from fitx.errors import StorageError
from fitx.experiment.schema import Checkpoint
from fitx.training.setup import build_and_trace, prepare_runtime
from fitx.training.state.best_epoch import BestEpoch, BestEpochTracker
from fitx.training.state.run_state import RunState
from fitx.training.state.snapshot import Position, Snapshot, best_epoch, position_from_meta
from fitx.training.state.variables import capture

DRAWING = '''
import keras
import tensorflow as tf
from fitx import Step, steps


@steps.register
class Plugin(Step):
    """Counts its steps in a variable of TensorFlow, draws from Keras' own generator."""

    def __init__(self, model):
        super().__init__(model=model)
        self.count = tf.Variable(0, name="count")
        self.unused = tf.Variable(0, name="unused")

    def train_step(self, data):
        x, y = data
        self.count.assign_add(1)
        with tf.GradientTape() as tape:
            noise = keras.random.normal(tf.shape(x))
            loss = tf.reduce_mean(tf.square(self(x + noise, training=True) - y))
        self.minimize(loss, tape, "model")
        return {"loss": loss}

    def test_step(self, data):
        x, y = data
        return {"loss": tf.reduce_mean(tf.square(self(x, training=True) - y))}
'''
WORDS = ("step=plugin", "~loss", "~metrics", "callbacks=[{name: early_stopping, monitor: loss}]")
NOISY = "model.layers=[{name: dropout, rate: 0.5}, batch_normalization, {name: dense, units: 1}]"


@pytest.fixture
def made(tiny):
    """A traced step and its state."""

    def made(*words, **options):
        experiment = tiny(*words, **options)
        built = build_and_trace(experiment, prepare_runtime(experiment))
        stopping = keras.callbacks.EarlyStopping("loss")
        stopping.on_train_begin()
        return built.step, RunState(built.step, [stopping], BestEpochTracker(experiment.checkpoint))

    return made


def test_a_snapshot_puts_back_variables_callbacks_random_numbers_and_the_best_epoch(made):
    step, state = made()
    state.callbacks["EarlyStopping"].wait = 3
    state.best.epoch = BestEpoch("val_loss", "min", 4, 0.5, {"networks/model/w": np.ones(2)})
    snapshot, expected = state.capture(), random.random()
    for variable in step.networks["model"].trainable_variables:
        variable.assign_add(np.ones(variable.shape))
    state.callbacks["EarlyStopping"].wait, state.best.epoch = 9, None
    state.restore(snapshot)
    after = state.capture()
    assert after.state.keys() == snapshot.state.keys()
    assert random.random() == expected
    assert state.callbacks["EarlyStopping"].wait == 3
    assert (state.best.epoch.epoch, state.best.epoch.value) == (4, 0.5)
    assert all(np.array_equal(after.state[n], snapshot.state[n]) for n in capture(state.variables))


def test_variables_of_tensorflow_and_keras_own_generator_belong_to_the_state(made):
    _, state = made(*WORDS, plugin=DRAWING)
    besides = [name for name in state.variables if name.startswith(("graph/", "step/"))]
    assert besides == [
        "step/count",
        "step/unused",
        "graph/seed_generator/seed_generator_state:0",
    ]


def test_before_a_validation_only_that_is_copied_which_it_may_change(made):
    _, state = made(NOISY)
    kept = state.capture_before_validation().state
    layers = {name.split("/")[-2] for name in kept if name.startswith("networks/")}
    assert layers == set()
    assert any(name.startswith("metrics/") for name in kept)
    _, state = made(*WORDS, NOISY, plugin=DRAWING)
    kept = {
        name for name in state.capture_before_validation().state if name.startswith("networks/")
    }
    changed = {"moving_mean", "moving_variance", "seed_generator_state"}
    assert {name.rpartition("/")[2] for name in kept} == changed


def test_a_best_epoch_by_another_value_or_direction_is_left_out(made):
    _, state = made()
    state.best.epoch = BestEpoch("val_loss", "min", 1, 0.5, {})
    taken, wanted = state.capture(), Checkpoint(monitor="val_loss")
    assert best_epoch(taken, BestEpochTracker(wanted)) == state.best.epoch
    assert best_epoch(taken, BestEpochTracker(Checkpoint(monitor="val_mae"))) is None
    assert best_epoch(taken, BestEpochTracker(Checkpoint(monitor="val_loss", mode="max"))) is None
    assert best_epoch(Snapshot({}, {}), BestEpochTracker(wanted)) is None


def test_a_snapshot_of_something_else_is_refused(made):
    _, state = made()
    snapshot = state.capture()
    name = "networks/model/sequential/dense/kernel"
    del snapshot.state[name]
    with pytest.raises(StorageError, match=f"lacks '{name}'"):
        state.restore(snapshot)


def test_a_position_comes_back_from_what_a_checkpoint_says():
    position = Position(2, 45, 5, "validation", True, 1.5, 0.25)
    assert position_from_meta({**position.to_json(), "journal_bytes": 12}) == position
