import json
import os
import signal

import keras
import numpy as np
import pytest

from fitx.build.excluded_modes import TOO_SLOW, excluded_modes
from fitx.build.execution_setup import PlannedSteps, prepare_execution
from fitx.build.make import make
from fitx.cli.display import NoDisplay
from fitx.commands import benchmark as bench_module
from fitx.commands.benchmark import bench, timed_training
from fitx.commands.benchmark.timed_training import StockTraining, copied
from fitx.errors import Interrupted
from fitx.experiment.check import read
from fitx.experiment.problems import ConfigError
from fitx.training.setup import prepare_runtime

WAYS = ["stock fit", "stock fit, 4 steps a call", "plain", "xla", "fused", "fused_xla"]
CONVOLVES = """
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Convolves.'''
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            image = tf.reshape(self(x), (-1, 1, 1, 1))
            loss = tf.reduce_mean(tf.nn.conv2d(image, tf.ones((1, 1, 1, 1)), 1, "SAME") ** 2)
        self.minimize(loss, tape, "model")
        return {"loss": loss}
"""
PYTHON = """
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Calls Python, which XLA cannot compile.'''
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x) - y) ** 2)
        self.minimize(loss, tape, "model")
        return {"loss": tf.ensure_shape(tf.numpy_function(abs, [loss], "float32"), ())}
"""


@pytest.fixture(scope="module")
def comparison():
    """The comparison on the guide's first example, with few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_module, "ROUND_SECONDS", 0.01)
        return bench(read("guide/simple", ["data.rows=128"]), NoDisplay(), 1)


def shortened(experiment):
    return timed_training.shortened(make(experiment), lambda: None, prepare_runtime(experiment))


def test_stock_keras_and_every_mode_have_a_row(comparison):
    assert [row.name for row in comparison.rows] == WAYS
    assert all(row.reason is None for row in comparison.rows)
    assert (comparison.experiment, comparison.batch_size, comparison.steps) == ("simple", 32, 4)


def test_a_row_tells_the_first_step_the_steps_after_it_and_the_rate(comparison):
    for row in comparison.rows:
        assert row.first_step > row.step > 0
        assert row.examples_per_second == pytest.approx(128 / 4 / row.step)


def test_stock_fit_is_what_the_others_are_compared_to(comparison):
    assert comparison.rows[0].ratio == 1
    steps = {row.name: row.step for row in comparison.rows}
    for row in comparison.rows:
        # One round: its ratio is that of the medians.
        assert row.ratio == pytest.approx(steps["stock fit"] / row.step)


def test_the_comparison_is_one_json_object(comparison):
    plain = json.loads(json.dumps(comparison.to_json()))
    assert list(plain) == [
        *("experiment", "device", "batch_size", "steps", "rows", "mode", "why"),
    ]
    names = ["name", "first_step", "step", "examples_per_second", "ratio", "reason"]
    assert [list(row) for row in plain["rows"]] == [names] * 6


def test_stock_trains_as_a_keras_model_with_the_same_train_step_does(tiny):
    """To the bit, a short batch at the end included."""
    experiment = tiny("data.shuffle=false", "data.batch_size=16", "~checkpoint")
    training = StockTraining(make(experiment), lambda: None)
    built = training.built
    same = keras.models.clone_model(built.step.model)
    same.set_weights(built.step.model.get_weights())
    training.epochs(2)
    same.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
    split = built.data.splits["train"]
    same.fit(split.x, split.y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    for ours, theirs in zip(built.step.model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_way_has_networks_of_its_own_on_the_same_rows(tiny):
    built = make(tiny())
    copy = copied(built)
    assert copy.data is built.data
    assert not {id(v) for v in copy.step.variables} & {id(v) for v in built.step.variables}


def test_long_epochs_are_cut_short(tiny, monkeypatch):
    monkeypatch.setattr(timed_training, "LONGEST_EPOCH", 0.0)
    built = shortened(tiny())
    assert built.steps_per_epoch == 1
    assert {name: len(split) for name, split in built.data.splits.items()} == {"train": 8}


def test_more_steps_an_epoch_than_the_rows_give_are_timed_as_one_pass(tiny):
    built = shortened(tiny("fit.steps_per_epoch=12"))
    assert built.steps_per_epoch == 5


@pytest.mark.parametrize(
    ("plugin", "modes", "reason"),
    [
        (CONVOLVES, ["fused_xla"], TOO_SLOW),
        (PYTHON, ["xla", "fused_xla"], "XLA cannot compile PyFunc of plugin.py:13"),
    ],
)
def test_a_mode_that_is_excluded_has_a_reason(tiny, plugin, modes, reason):
    built = make(tiny("step=plugin", "~loss", "~metrics", "~checkpoint", plugin=plugin))
    prepare_execution(
        built, prepare_runtime(built.experiment), [PlannedSteps("train", "train", 15)]
    )
    reasons = excluded_modes(built, "cpu")
    assert list(reasons) == modes
    assert all(text.startswith(reason) for text in reasons.values())


def test_a_way_that_fails_has_a_reason_and_the_others_are_timed(tiny, monkeypatch):
    def fail(way, epochs, callbacks):
        raise ValueError("as a later Keras may say\nand more")

    monkeypatch.setattr(bench_module, "ROUND_SECONDS", 0.01)
    monkeypatch.setattr(StockTraining, "fit", fail)
    rows = bench(tiny(), NoDisplay(), 1).rows
    assert [row.reason for row in rows] == ["as a later Keras may say."] * 2 + [None] * 4
    assert [row.step is None for row in rows] == [True] * 2 + [False] * 4
    assert all(row.ratio is None for row in rows)


def test_fewer_rows_than_a_batch_are_timed_as_one_batch(tiny, monkeypatch):
    monkeypatch.setattr(bench_module, "ROUND_SECONDS", 0.01)
    rows = bench(tiny("data.batch_size=64"), NoDisplay(), 1).rows
    assert [row.name for row in rows if row.reason is None] == [WAYS[0], *WAYS[2:]]


def test_an_optimizer_is_needed(tiny):
    with pytest.raises(ConfigError, match="optimizer: missing"):
        bench(tiny("~optimizer", "~checkpoint"), NoDisplay(), 1)


def test_one_device_is_timed(tiny):
    with pytest.raises(ConfigError) as error:
        bench(tiny("execution.strategy=mirrored"), NoDisplay(), 1)
    assert (
        "execution.strategy: `fitx bench` times a single device; run it with "
        "execution.strategy=auto." in str(error.value)
    )


def test_a_signal_ends_it(tiny, recording):
    display = recording("begin", lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted) as error:
        bench(tiny(), display, 1)
    assert (error.value.exit_code, display.told[-1]) == (143, "end")
    assert str(error.value) == "stopped by SIGTERM before all times were measured."
