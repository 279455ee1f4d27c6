import math
import os
import signal

import numpy as np
import pytest

from fitx import checkpoint
from fitx.commands.resume import resume
from fitx.errors import Diverged
from fitx.training.resumption.resume_request import open_for_resume

ADVICE = "Lower the learning rate, or look at the data and the loss."
NO_CHECKPOINT = f"\n{ADVICE} There is no checkpoint: it diverged before the first."
EXPLODING = "optimizer={name: sgd, learning_rate: 10}"
KERNEL = "networks/model/sequential/dense/kernel"
LAST_KERNEL = "networks/model/sequential/dense_1/kernel"
SPOILED = f". The step left '{LAST_KERNEL}' not finite."

STEP = """
import keras
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Computes something that is not finite in one of its steps.'''

    def __init__(self, model, *, at: int = 0):
        super().__init__(model=model)
        self.at = at
        self.done = self.add_weight(shape=(), dtype="int64", initializer="zeros", trainable=False)

    def train_step(self, data):
        x, y = data
        self.done.assign_add(1)
        is_due = self.done.value == self.at
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(y - tf.cast(self(x, training=True), y.dtype)))
            {loss}
        {update}
        return {{"loss": loss}}

    def test_step(self, data):
        return {{"loss": {tested}}}
"""
MINIMIZE = 'self.minimize(loss, tape, "model")'
GRADIENT = """
        weights = self.model.trainable_variables
        grads = tape.gradient(loss, weights)
        grads[2] = tf.where(is_due, {bad}, grads[2])
        self.optimizer.{apply}"""
AFTERWARDS = f"""{MINIMIZE}
        kernel = self.model.trainable_variables[0]
        kernel.assign(tf.where(is_due, float("inf"), kernel.value))"""
CALLBACK = """
import keras
from fitx import callbacks

@callbacks.register
class Other(keras.callbacks.Callback):
    '''Changes a variable of the network.'''
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            self.model.model.trainable_variables[0].assign_add([[{by}] * 3] * 4)
"""
MASKED = """
import keras
from fitx import models

@keras.saving.register_keras_serializable()
class Masked(keras.layers.Dense):
    def build(self, shape):
        super().build(shape)
        self.mask = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(float("-inf")), trainable=False
        )

@models.register
def plugin(input_shape, outputs):
    '''Return a network that keeps an infinity.'''
    return keras.Sequential([keras.Input(input_shape), Masked(outputs)])
"""


def plugin(loss="pass", update=MINIMIZE, tested="tf.reduce_mean(data[1])", more=""):
    return STEP.format(loss=loss, update=update, tested=tested) + more


def gradient(bad="float('nan')", apply="apply(grads, weights)"):
    return plugin(update=GRADIENT.format(bad=bad, apply=apply))


LOG_LINE = "loss += tf.where(is_due, tf.math.log(-loss), 0.0)"
LOGARITHM = plugin(loss=LOG_LINE)
OWN = ["~loss", "~metrics", "~checkpoint"]


@pytest.fixture
def diverged(tiny, trained, monkeypatch):
    """Train what diverges, as seen at an epoch's end; return the run and what is said of it."""
    monkeypatch.setattr("fitx.training.monitor.CHECKED_EVERY", math.inf)

    def diverged(*words, plugin=None, at=None, display=None):
        own = [f"step={{name: plugin, at: {at}}}", *OWN] if at is not None else []
        run, error = trained(tiny(*own, *words, plugin=plugin), display)
        assert isinstance(error, Diverged), error
        assert error.exit_code == 5
        assert run.record["status"] == "diverged"
        assert run.record["error"] == str(error)
        return run, str(error)

    return diverged


def way_on(run, folder):
    return (
        f"\n{ADVICE} Checkpoint {folder} is whole; `fitx resume {run.folder} --allow-inexact "
        "optimizer.learning_rate=...` goes on from it."
    )


@pytest.fixture
def found(tmp_path):
    """Return what is said of the first operation, on the one line of the plugin that has a text."""

    def found(step, epoch, part, kind="SelectV2"):
        lines = (tmp_path / "plugin.py").read_text().splitlines()
        [(number, line)] = [(n, line.strip()) for n, line in enumerate(lines, 1) if part in line]
        return (
            f"The first operation with a result that is not finite is {kind} in step {step} "
            f"(epoch {epoch}), at {tmp_path / 'plugin.py'}:{number}: `{line}`"
        )

    return found


def test_an_operation_is_named_with_its_step_and_line(diverged, found):
    run, text = diverged(plugin=LOGARITHM, at=3)
    where = "diverged: loss is nan after step 5 (epoch 1)"
    assert text == f"{where}. {found(3, 1, LOG_LINE)}.{NO_CHECKPOINT}"
    assert run.record["last"] is None
    assert run.epochs[0]["loss"] == "nan"


def test_the_search_begins_at_the_newest_checkpoint(diverged, found, recording):
    display = recording()
    words = ["checkpoint.every=epoch", "fit.epochs=6"]
    run, text = diverged(*words, plugin=LOGARITHM, at=13, display=display)
    assert found(13, 3, LOG_LINE) in text
    assert text.endswith(way_on(run, "000010"))
    assert run.record["last"] == "000010"
    note = "diverged: running steps 11 to 15 again, to find where it began"
    assert display.notes[-1] == note


def test_it_is_seen_within_an_epoch(diverged, found, monkeypatch):
    monkeypatch.setattr("fitx.training.monitor.CHECKED_EVERY", 0)
    run, text = diverged("checkpoint.every=3 steps", plugin=LOGARITHM, at=4)
    assert text.startswith("diverged: loss is nan after step 4 (epoch 1). ")
    assert found(4, 1, LOG_LINE, "Log") in text
    assert text.endswith(way_on(run, "000003"))
    assert run.epochs == []


def test_infinities_that_do_no_harm_are_not_blamed(diverged, found):
    """A mask of -inf is there in every step, in the first of a search too."""
    mask = """masked = tf.nn.softmax(tf.where(x > 9, x, float("-inf")))
            loss += 0.0 * tf.reduce_sum(tf.where(x > 9, masked, 0.0))
            """
    for at in (1, 3):
        _, text = diverged(plugin=plugin(loss=mask + LOG_LINE), at=at)
        assert found(at, 1, LOG_LINE, "Log" if at == 1 else "SelectV2") in text


def test_a_value_that_may_be_nan_is_not_blamed(diverged, found):
    returned = '{"loss": loss, "odd": loss / 0.0 - loss / 0.0}'
    step = LOGARITHM.replace('{"loss": loss}', returned)
    _, text = diverged("fit.allow_nan=[odd]", plugin=step, at=3)
    assert text.startswith("diverged: loss is nan after step 5 (epoch 1). ")
    assert found(3, 1, LOG_LINE) in text


@pytest.mark.parametrize("apply", ["apply(grads, weights)", "apply_gradients(zip(grads, weights))"])
def test_a_gradient_is_found_where_only_it_is_not_finite(diverged, found, apply):
    run, text = diverged("checkpoint.every=epoch", plugin=gradient(apply=apply), at=8)
    where = "diverged: loss is nan after step 10 (epoch 2)"
    assert text == f"{where}. {found(8, 2, 'grads[2] =')}{SPOILED}{way_on(run, '000005')}"


def test_an_operation_of_the_gradient_tape_is_said_to_be_one(diverged, tmp_path):
    root = "loss += tf.sqrt(tf.where(is_due, loss * 0.0, loss + 1.0))"
    _, text = diverged(plugin=plugin(loss=root), at=3)
    assert "The first gradient operation with a result that is not finite is SqrtGrad" in text
    assert f"in step 3 (epoch 1), at {tmp_path / 'plugin.py'}:" in text


@pytest.mark.parametrize("rate", ["10", "1e30"])
@pytest.mark.parametrize("mode", ["plain", "xla", "fused", "fused_xla"])
def test_every_mode_names_the_same_step_and_layer(diverged, mode, rate):
    words = [f"optimizer={{name: sgd, learning_rate: {rate}}}", f"execution.mode={mode}"]
    _, text = diverged(*words, "fit.epochs=20")
    assert (
        "The first operation with a result that is not finite is MatMul in step "
        f"{4 if rate == '10' else 2} (epoch 1), in the layer of '{LAST_KERNEL}', at "
    ) in text
    assert "supervised.py:42: `y_pred = self(x, training=True)`." in text


def test_accumulated_gradients_are_looked_at_too(diverged, found):
    adam = "optimizer={name: adam, gradient_accumulation_steps: 4}"
    _, text = diverged(adam, plugin=gradient(), at=6)
    assert text.startswith("diverged: loss is nan after step 10 (epoch 2). ")
    assert found(6, 2, "grads[2] =") in text


def test_a_checkpoint_with_gradients_that_are_not_finite_is_not_written(diverged, found):
    adam = "optimizer={name: adam, gradient_accumulation_steps: 4}"
    run, text = diverged(adam, "checkpoint.every=epoch", plugin=gradient(), at=10)
    assert text.startswith("diverged: 'optimizers/model/")
    assert f"holds nan after step 10 (epoch 2). {found(10, 2, 'grads[2] =')}" in text
    assert text.endswith(way_on(run, "000005"))


def test_averages_of_weights_do_not_hide_them(diverged, found):
    _, text = diverged("optimizer={name: adam, use_ema: true}", plugin=gradient(), at=5)
    assert f"{found(5, 1, 'grads[2] =')}{SPOILED}" in text


def test_an_update_is_named_where_a_finite_gradient_spoils_a_variable(diverged, found):
    _, text = diverged(EXPLODING, plugin=gradient(bad="3e38"), at=1)
    assert f"{found(1, 1, 'optimizer.apply', 'Mul')}{SPOILED}" in text


def test_a_variable_that_no_optimizer_changed_is_named(diverged, found):
    _, text = diverged(plugin=plugin(update=AFTERWARDS), at=2)
    left = f". The step left '{KERNEL}' not finite."
    assert f"{found(2, 1, 'kernel.assign(')}{left}" in text


def test_a_variable_is_named_where_no_operation_is(diverged):
    inside = f"""{MINIMIZE}
        kernel = self.model.trainable_variables[0]
        tf.cond(is_due, lambda: [kernel.assign(kernel / 0.0), 1][1], lambda: 0)"""
    _, text = diverged(plugin=plugin(update=inside), at=2)
    first = f"The first that is not finite is '{KERNEL}', after step 2 (epoch 1)"
    assert f"{first}; no operation of the step shows where it comes from." in text


def test_a_checkpoint_with_weights_that_are_not_finite_is_not_written(diverged, found):
    run, text = diverged("checkpoint.every=epoch", plugin=gradient(), at=10)
    assert text == (
        f"diverged: '{LAST_KERNEL}' holds nan after step 10 (epoch 2). "
        f"{found(10, 2, 'grads[2] =')}{SPOILED}{way_on(run, '000005')}"
    )
    assert [folder.name for folder in (run.folder / "checkpoints").iterdir()] == ["000005"]


def test_a_run_does_not_end_with_weights_that_are_not_finite(diverged, found):
    run, text = diverged("fit.epochs=2", plugin=gradient(), at=10)
    assert found(10, 2, "grads[2] =") in text
    assert not list(run.folder.rglob("*.keras"))
    assert not (run.folder / "summary.json").exists()


def test_what_a_network_holds_for_infinity_on_purpose_is_kept(tiny, trained):
    run, result = trained(tiny("model=plugin", plugin=MASKED))
    assert run.record["status"] == "finished"
    state, _ = checkpoint.load(run.folder / "checkpoints" / run.record["last"])
    assert any(np.isneginf(array).any() for array in state.values())


def test_epochs_are_run_again_as_they_ran(diverged, found):
    schedule = "{name: exponential_decay, initial_learning_rate: 0.1, decay_steps: 1, "
    callback = f"{{name: learning_rate_scheduler, schedule: {schedule}decay_rate: 0.5}}}}"
    words = [f"callbacks=[{callback}]", "checkpoint.every=90 minutes", "fit.epochs=9"]
    _, text = diverged(*words, plugin=LOGARITHM, at=33)
    assert f"{found(33, 7, LOG_LINE)}.{NO_CHECKPOINT}" in text


def test_random_numbers_are_drawn_again_as_they_were(diverged, found):
    draws = "loss += 0.001 * keras.random.uniform(()) + tf.where(is_due, tf.math.log(-loss), 0.0)"
    step = plugin(draws, tested="keras.random.uniform(())")
    _, text = diverged("checkpoint.every=90 minutes", "fit.epochs=9", plugin=step, at=18)
    assert f"{found(18, 4, 'tf.math.log(-loss)')}.{NO_CHECKPOINT}" in text


def test_a_learning_rate_that_was_changed_on_resume_is_the_one_that_counts(
    trained, tiny, recording
):
    words = ["optimizer=sgd", "checkpoint.every=epoch", "fit.epochs=2"]
    run, _ = trained(tiny(*words))
    changes = ["optimizer.learning_rate=10", "fit.epochs=9"]
    reopening = open_for_resume(run.folder, changes, allow_inexact=True)
    with reopening as order, pytest.raises(Diverged) as error:
        resume(order, recording())
    text = str(error.value)
    assert " is Square in step 14 (epoch 3), at " in text
    assert text.endswith(way_on(run, "000010"))


def test_it_is_said_that_it_does_not_happen_again(diverged):
    step = plugin() + CALLBACK.format(by=3e38)
    run, text = diverged("callbacks=[plugin]", "checkpoint.every=epoch", plugin=step, at=0)
    assert text == (
        "diverged: loss is nan after step 15 (epoch 3). Steps 11 to 15, run again one by one and "
        "without XLA, gave finite numbers. That happens where training is not deterministic, where "
        "rounding or XLA's other random numbers decide, or where a callback changes variables."
    ) + way_on(run, "000010")


@pytest.mark.parametrize("reason", ["SIGTERM", "its limit of 0 minutes"])
def test_a_signal_or_a_limit_ends_the_search(diverged, recording, monkeypatch, reason):
    display = recording()
    if reason == "SIGTERM":
        display = recording("note", lambda: os.kill(os.getpid(), signal.SIGTERM))
    else:
        monkeypatch.setattr("fitx.training.nan_search.search.SEARCH_SECONDS", 0.0)
    _, text = diverged(plugin=LOGARITHM, at=3, display=display)
    assert text == (
        "diverged: loss is nan after step 5 (epoch 1). Running steps 1 to 5 again was stopped by "
        f"{reason} after step 0.{NO_CHECKPOINT}"
    )


def test_a_search_that_fails_is_reported(diverged, recording):
    def full():
        raise MemoryError("no room for a second time")

    _, text = diverged(plugin=LOGARITHM, at=3, display=recording("note", full))
    assert text == (
        "diverged: loss is nan after step 5 (epoch 1). Running steps 1 to 5 again failed: no room "
        f"for a second time.{NO_CHECKPOINT}"
    )


def test_a_validation_alone_is_told_from_the_training(diverged):
    _, text = diverged(plugin=plugin(tested="tf.math.log(-1.0)"), at=0)
    assert text == (
        "diverged: val_loss is nan after step 5 (epoch 1). All that the training steps logged is "
        "finite, and so is every variable of the networks and optimizers.\nLook at the validation "
        "data, the step's `test_step` and the callbacks."
    )


def test_a_test_that_is_not_finite_says_whether_the_networks_are(diverged):
    _, text = diverged("fit.epochs=0", plugin=plugin(tested="tf.math.log(-1.0)"), at=0)
    assert text == (
        "diverged: test_loss is nan on the test split. Every variable of the networks is finite: "
        "look at the data and the step."
    )


def test_of_several_networks_the_one_is_named(diverged):
    dense = "layers: [{name: dense, units: 8}, {name: dense, units: "
    networks = (
        f"networks={{discriminator: {{name: sequential, {dense}1}}]}}, "
        f"generator: {{name: sequential, input_shape: [2], {dense}4}}]}}}}"
    )
    optimizers = "optimizers={discriminator: adam, generator: {name: sgd, learning_rate: 1e38}}"
    words = ["step=gan", "data.labels=false", "~model", "~optimizer", networks, optimizers]
    _, text = diverged(*words, *OWN)
    assert " in step 2 (epoch 1), in the layer of 'networks/generator/sequential/dense" in text
    assert "gan.py:" in text


def test_overflow_under_float16_is_no_divergence(tiny, trained):
    words = ["execution.precision=mixed_float16", "optimizer={name: sgd, learning_rate: 1e-3}"]
    run, _ = trained(tiny(*words, *OWN, "step={name: plugin, at: 0}", plugin=plugin("loss *= 9")))
    assert run.record["status"] == "finished"
    state, _ = checkpoint.load(run.folder / "checkpoints" / run.record["last"])
    scale = next(array for name, array in state.items() if name.endswith("dynamic_scale"))
    assert scale < 2**15


def test_overflow_under_float16_is_not_blamed(diverged, found):
    """The scale that begins at 2^15 overflows in gradients of the first steps, and is halved."""
    words = ["execution.precision=mixed_float16", "optimizer={name: sgd, learning_rate: 1e-3}"]
    _, text = diverged(*words, plugin=plugin(f"loss *= 9\n            {LOG_LINE}"), at=3)
    assert found(3, 1, LOG_LINE) in text
