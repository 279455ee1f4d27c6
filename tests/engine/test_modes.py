"""Every mode computes the same: `fused` to the bit, those of XLA but for rounding.

XLA draws other random numbers: of steps that draw, `fused_xla` is compared with `xla`.
"""

import resource
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fitx import runtime
from fitx.build.make import make
from fitx.build.step_feeds import evaluation_feed, training_feed
from fitx.engine.modes.execution_modes import MODES, ExecutionPlan
from fitx.engine.modes.operation_count import count_work
from fitx.experiment.check import read
from fitx.experiment.yaml.locate import shipped
from fitx.training.state.variables import capture, variables

FEW = "fit.epochs=2", "fit.steps_per_epoch=3", "fit.validation_steps=2", "data.batch_size=5"
GUIDE = [
    *(name for name in sorted(shipped()) if name.startswith("guide/") and read(name).optimizers),
    "digits",
]
"""The guide's experiments; tests/test_configs.py holds `fused` to `plain` for all."""

LARGE = 1e8
"""Multiplications and additions in convolutions of one step."""

OWN = """
step: supervised
model: {name: sequential, layers: [MODEL, {name: dense, units: 1}]}
optimizer: {name: adam, learning_rate: 0.01}
loss: mse
metrics: [mae]
data: {name: random, rows: 53, features: 12, batch_size: 8, validation_split: 0.2}
fit: {epochs: 2}
"""
"""42 rows are trained on and 11 measured: the last batches have 2 and 3."""
GAN = """
step: gan
networks:
  discriminator:
    name: sequential
    layers: [{name: dense, units: 6, activation: tanh}, {name: dense, units: 1}]
  generator: {name: sequential, input_shape: [4], layers: [{name: dense, units: 12}]}
optimizers: {discriminator: adam, generator: {name: adam, learning_rate: 0.01}}
data: {name: random, rows: 53, features: 12, batch_size: 8, validation_split: 0.2, labels: false}
fit: {epochs: 2}
"""
DRAWING = """
import tensorflow as tf

from fitx.step import Step
from fitx.steps import register


@register
class Drawing(Step):
    def train_step(self, data):
        x, y = data
        order = tf.random.shuffle(tf.range(tf.shape(x)[0]))
        x = tf.nn.dropout(tf.gather(x, order), 0.3) + tf.random.normal(tf.shape(x))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - tf.gather(y, order)) ** 2)
        self.minimize(loss, tape, "model")
        return {"loss": loss, "drawn": tf.random.uniform((), 0, 1000, tf.int32)}
"""
"""A step that draws with TensorFlow's own operations."""

STATISTICS = "{name: dense, units: 9, use_bias: false}, batch_normalization, re_lu"
MIXED = f"{STATISTICS}, {{name: gaussian_noise, stddev: 0.3}}, {{name: dropout, rate: 0.4}}"
"""No bias before the normalization: it would have no gradient but rounding, which Adam enlarges."""

RECURRENT = "{name: reshape, target_shape: [4, 3]}, {name: lstm, units: 3}"


@dataclass(frozen=True)
class Outcome:
    """What two epochs came to: values, all variables, what is predicted; and a step's work."""

    history: dict
    state: dict
    predicted: np.ndarray
    convolutions: float


def outcome(experiment, mode):
    runtime.prepare(device="cpu", precision="float32", deterministic=False, seed=experiment.seed)
    built = make(experiment)
    built.step.execution.use_plan(ExecutionPlan({"train": MODES[mode], "test": MODES[mode]}))
    validation = {}
    if "validation" in built.data.splits:
        validation["validation_data"] = evaluation_feed(built, "validation")
        validation["validation_steps"] = built.evaluation_steps("validation")
    feed = training_feed(built)
    steps = built.steps_per_epoch
    history = built.step.fit(
        feed, epochs=2, steps_per_epoch=steps, verbose=0, shuffle=False, **validation
    ).history
    graph = built.step.execution.step_graphs["train"].newest
    return Outcome(
        history,
        capture(variables(built.step)),
        built.step.predict(built.data.splits["train"].x[:11], batch_size=4, verbose=0),
        count_work(graph, built.data.batch_size).convolutions,
    )


def compare(experiment, *modes):
    """Hold each of these modes to the values of `plain`."""
    plain = outcome(experiment, "plain")
    if plain.convolutions:
        # XLA's convolutions in a loop take minutes on a CPU, and large ones long to compile.
        modes = ("fused", "xla") if plain.convolutions < LARGE else ("fused",)
    for mode in modes:
        same(plain, outcome(experiment, mode), 1e-5 if MODES[mode].xla else 0)


def compare_drawing(experiment):
    """Hold `fused` to the values of `plain`, and `fused_xla` to those of `xla`."""
    compare(experiment, "fused")
    same(outcome(experiment, "xla"), outcome(experiment, "fused_xla"), 1e-5)


def same(plain, other, tolerance):
    assert plain.history.keys() == other.history.keys()
    assert plain.state.keys() == other.state.keys()
    for name, values in plain.history.items():
        np.testing.assert_allclose(other.history[name], values, rtol=tolerance, err_msg=name)
    for name, array in plain.state.items():
        # What an optimizer gathers of gradients that cancel out holds their rounding.
        factor = 10 if name.startswith("optimizers/") else 1
        close(other.state[name], array, factor * tolerance, name)
    close(other.predicted, plain.predicted, tolerance, "predicted")


def close(other, array, tolerance, name):
    """Hold an array to another, relative to its largest number."""
    largest = np.abs(array).max(initial=0).astype("float64")
    np.testing.assert_allclose(other, array, rtol=0, atol=tolerance * largest, err_msg=name)


@pytest.fixture
def written(tmp_path):
    """Read an experiment from its text."""

    def written(text, *words):
        file = tmp_path / "own.yaml"
        file.write_text(text)
        return read(str(file), words)

    return written


@pytest.mark.parametrize("name", GUIDE)
def test_a_shipped_experiment_trains_to_the_same_in_every_mode(name):
    without_dropout = ("model.dropout=0",) if name == "digits" else ()
    compare(read(name, (*FEW, *without_dropout)), "fused", "fused_xla")


def test_dropout_noise_statistics_and_short_batches_are_the_same_with_and_without_a_loop(written):
    compare_drawing(written(OWN.replace("MODEL", MIXED)))


def test_statistics_and_short_batches_are_the_same_in_every_mode(written):
    compare(written(OWN.replace("MODEL", STATISTICS)), "fused", "fused_xla")


def test_the_noise_of_a_gan_is_the_same_with_and_without_a_loop(written):
    compare_drawing(written(GAN))


def test_xla_draws_other_numbers_but_the_same_ones_every_time(written):
    experiment = written(OWN.replace("MODEL", MIXED))
    first, again = (outcome(experiment, "fused_xla") for _ in range(2))

    same(first, again, 0)
    assert first.history["loss"] != outcome(experiment, "plain").history["loss"]


def test_what_tensorflows_own_operations_draw_is_the_same_with_and_without_a_loop(
    written, tmp_path
):
    (tmp_path / "drawing.py").write_text(DRAWING)
    words = f"plugins=[{tmp_path}/drawing.py]", "step=drawing", "~loss", "~metrics"
    text = OWN.replace("MODEL", "{name: dense, units: 9}")

    compare_drawing(written(text, *words, "~data.validation_split"))


def test_recurrent_networks_are_the_same_in_every_mode(written):
    text = OWN.replace("MODEL", RECURRENT)

    compare(written(text), "fused")
    # XLA compiles their gradients for batches of one size only.
    compare(written(text, "data.drop_remainder=true", "~data.validation_split"), "fused_xla")


@pytest.mark.parametrize("mode", ["plain", "fused"])
def test_no_memory_is_kept_from_one_epoch_to_the_next(mode, written):
    text = OWN.replace("MODEL", RECURRENT)
    built = make(written(text, "data.rows=20000", "data.batch_size=4000"))
    built.step.execution.use_plan(ExecutionPlan({"train": MODES[mode], "test": MODES[mode]}))
    feed, measured = training_feed(built), evaluation_feed(built, "validation")
    validation = {"validation_data": measured, "validation_steps": 1}

    def grown(epochs):
        before = resident()
        built.step.fit(
            feed, epochs=epochs, steps_per_epoch=4, verbose=0, shuffle=False, **validation
        )
        return resident() - before

    grown(20)
    # The data of one epoch are 0.8 MB: if they were kept, this would be 40 MB.
    assert grown(50) < 15e6


def resident():
    """Return the bytes of memory that the process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
