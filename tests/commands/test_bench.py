import json
import os
import signal

import keras
import numpy as np
import pytest

from fitx.build.execution_setup import Task, prepare_execution
from fitx.build.make import make
from fitx.cli.display.quiet import NoDisplay
from fitx.commands import benchmark as bench_module
from fitx.commands.benchmark import TOO_SLOW, bench, left_out, ways
from fitx.commands.benchmark.shares import ADVICE, Shares, measured
from fitx.commands.benchmark.table import Comparison, Row
from fitx.commands.benchmark.ways import Fitx, Stock, another
from fitx.engine.modes.modes import MODES
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
SLOW = """
import time
import keras
from fitx import callbacks

@callbacks.register
class Plugin(keras.callbacks.Callback):
    '''Takes its time, and leaves a file.'''
    def on_epoch_end(self, epoch, logs=None):
        time.sleep(0.05)
        open("left", "w").close()
"""


@pytest.fixture(scope="module")
def found():
    """What the guide's first example shows, of few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_module, "ROUND_SECONDS", 0.01)
        return bench(read("guide/simple", ["data.rows=128"]), NoDisplay(), 1)


def started(experiment, mode):
    """A way to train that has taken its first steps."""
    way = Fitx(make(experiment), lambda: None, MODES[mode], prepare_runtime(experiment))
    way.first_step()
    return way


def shortened(experiment):
    return ways.shortened(make(experiment), lambda: None, prepare_runtime(experiment))


def test_stock_keras_and_every_mode_have_a_row(found):
    assert [row.name for row in found.rows] == WAYS
    assert all(row.reason is None for row in found.rows)
    assert (found.experiment, found.batch_size, found.steps) == ("simple", 32, 4)


def test_a_row_tells_the_first_step_the_steps_after_it_and_the_rate(found):
    for row in found.rows:
        assert row.first_step > row.step > 0
        assert row.examples_per_second == pytest.approx(128 / 4 / row.step)


def test_stock_fit_is_what_the_others_are_compared_to(found):
    assert found.rows[0].ratio == 1
    steps = {row.name: row.step for row in found.rows}
    for row in found.rows:
        # One round: its ratio is that of the medians.
        assert row.ratio == pytest.approx(steps["stock fit"] / row.step)


def test_the_time_of_a_step_is_divided_and_its_largest_share_named(found):
    seconds = found.shares.seconds()
    assert list(seconds) == ["input", "dispatch", "device", "callbacks"]
    assert all(share >= 0 for share in seconds.values())
    assert seconds["callbacks"] == 0
    assert seconds[found.shares.bottleneck] == max(seconds.values())


def test_the_comparison_is_one_json_object(found):
    plain = json.loads(json.dumps(found.to_json()))
    assert list(plain) == [
        *("experiment", "device", "batch_size", "steps", "rows", "mode", "why", "shares"),
        *("bottleneck", "advice"),
    ]
    names = ["name", "first_step", "step", "examples_per_second", "ratio", "reason"]
    assert [list(row) for row in plain["rows"]] == [names] * 6


def test_another_mode_is_advised_if_it_is_clearly_faster():
    shares = Shares(input=0.1, dispatch=0.2, device=0.3, callbacks=0.4, slowest="mine")

    def advised(**steps):
        rows = tuple(Row(name, 1.0, step) for name, step in steps.items())
        return Comparison("e", "CPU", 8, 4, rows, "plain", "", shares).advice

    assert advised(plain=0.4, fused=0.1) == "execution.mode=fused takes 0.25 of the time"
    assert advised(plain=0.4, fused=0.39) == ADVICE["callbacks"].format(callback="mine")
    assert advised(fused=0.39) == ADVICE["callbacks"].format(callback="mine")


def test_stock_trains_as_a_keras_model_with_the_same_train_step_does(tiny):
    """To the bit, a short batch at the end included."""
    built = make(tiny("data.shuffle=false", "data.batch_size=16", "~checkpoint"))
    same = keras.models.clone_model(built.step.model)
    same.set_weights(built.step.model.get_weights())
    Stock(built, lambda: None).epochs(2)
    same.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
    split = built.data.splits["train"]
    same.fit(split.x, split.y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    for ours, theirs in zip(built.step.model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_way_has_networks_of_its_own_on_the_same_rows(tiny):
    built = make(tiny())
    copy = another(built)
    assert copy.data is built.data
    assert not {id(v) for v in copy.step.variables} & {id(v) for v in built.step.variables}


def test_long_epochs_are_cut_short(tiny, monkeypatch):
    monkeypatch.setattr(ways, "LONGEST_EPOCH", 0.0)
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
def test_a_mode_that_is_left_out_tells_why(tiny, plugin, modes, reason):
    built = make(tiny("step=plugin", "~loss", "~metrics", "~checkpoint", plugin=plugin))
    prepare_execution(built, prepare_runtime(built.experiment), [Task("train", "train", 15)])
    reasons = left_out(built, "cpu")
    assert list(reasons) == modes
    assert all(found.startswith(reason) for found in reasons.values())


def test_a_way_that_fails_tells_why_and_the_others_are_timed(tiny, monkeypatch):
    def fail(way, epochs, callbacks):
        raise ValueError("as a later Keras may say\nand more")

    monkeypatch.setattr(bench_module, "ROUND_SECONDS", 0.01)
    monkeypatch.setattr(Stock, "fit", fail)
    rows = bench(tiny(), NoDisplay(), 1).rows
    assert [row.reason for row in rows] == ["as a later Keras may say."] * 2 + [None] * 4
    assert [row.step is None for row in rows] == [True] * 2 + [False] * 4
    assert all(row.ratio is None for row in rows)


def test_slow_callbacks_are_the_bottleneck_and_leave_no_files(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    way = started(tiny("callbacks=[plugin]", plugin=SLOW), "plain")
    shares = measured(way, epochs=1, rounds=1, steps_per_epoch=5, device_kind="cpu")
    assert shares.bottleneck == "callbacks"
    assert 0.05 / 5 <= shares.callbacks < 0.2 / 5
    assert "the slowest of them is plugin" in shares.advice
    assert not (tmp_path / "left").exists()


def test_what_callbacks_do_at_an_epochs_end_is_spread_over_the_whole_epoch(tiny):
    way = started(tiny("callbacks=[plugin]", plugin=SLOW), "plain")
    shares = measured(way, epochs=1, rounds=1, steps_per_epoch=500, device_kind="cpu")
    assert 0.05 / 500 <= shares.callbacks < 0.2 / 500


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
        "execution.strategy: is for several devices, and one is timed; "
        "run it with execution.strategy=auto." in str(error.value)
    )


def test_a_signal_ends_it(tiny, recording):
    display = recording("begin", lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted) as error:
        bench(tiny(), display, 1)
    assert (error.value.exit_code, display.told[-1]) == (143, "end")
    assert str(error.value) == "stopped by SIGTERM; nothing was measured to the end."
