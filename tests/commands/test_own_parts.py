"""Losses, metrics, optimizers, schedules, layers and activations that a plugin defines."""

import numpy as np
import pytest

PLUGIN = """
import keras
from keras import ops

class Halving(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, start: float, every: int = 2):
        self.start, self.every = start, every
    def __call__(self, step):
        return self.start * 0.5 ** ops.floor(ops.cast(step, "float32") / self.every)

class Plain(keras.optimizers.SGD):
    pass

class Twice(keras.layers.Layer):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
    def call(self, x):
        return self.factor * x
    def get_config(self):
        return {**super().get_config(), "factor": self.factor}

class Count(keras.metrics.Metric):
    def __init__(self, scale=1.0):
        super().__init__(name="count")
        self.scale, self.rows = scale, self.add_variable((), "zeros")
    def update_state(self, y_true, y_pred, sample_weight=None):
        self.rows.assign_add(self.scale * ops.cast(ops.shape(y_true)[0], "float32"))
    def result(self):
        return self.rows

def cubic(x):
    return x ** 3

def powered(y_true, y_pred, power=2.0):
    return ops.mean(ops.abs(y_true - y_pred) ** power, axis=-1)

def make_loss(power):
    return lambda y_true, y_pred: powered(y_true, y_pred, power)

def gap(y_true, y_pred):
    return ops.abs(y_true - y_pred)
"""
LAYERS = "model={{name: sequential, layers: [{}, {{name: dense, units: 1}}]}}"
TWICE = "{name: Twice, factor: 3.0}"


@pytest.fixture
def values(tiny, trained):
    """Train an experiment that names parts of the plugin; return the values of its epochs."""

    def values(*words):
        run, result = trained(tiny("fit.epochs=2", "data.shuffle=false", *words, plugin=PLUGIN))
        assert not isinstance(result, Exception), result
        return [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in run.epochs]

    return values


@pytest.mark.parametrize(
    ("own", "keras"),
    [
        ("loss=powered", "loss=mse"),
        ("loss={name: powered, power: 1.0}", "loss=mae"),
        ("loss={name: make_loss, power: 1.0}", "loss=mae"),
        (
            "optimizer={name: Plain, learning_rate: 0.02}",
            "optimizer={name: sgd, learning_rate: 0.02}",
        ),
        ("metrics={name: gap, as: mae}", "metrics=mae"),
        (
            LAYERS.format("{name: dense, units: 2, activation: cubic}"),
            LAYERS.format("{name: dense, units: 2}, {name: activation, activation: cubic}"),
        ),
        (
            "optimizer={name: sgd, learning_rate: {name: Halving, start: 0.04, every: 5}}",
            "optimizer={name: sgd, learning_rate: {name: exponential_decay, "
            "initial_learning_rate: 0.04, decay_steps: 5, decay_rate: 0.5, staircase: true}}",
        ),
    ],
)
def test_a_part_of_a_plugin_trains_as_the_part_of_keras_that_computes_the_same(values, own, keras):
    for ours, theirs in zip(values(own), values(keras), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_layer_of_a_plugin_is_made_with_its_options(values):
    (first, _) = values(LAYERS.format(TWICE))
    (plain, _) = values(LAYERS.format("{name: Twice, factor: 1.0}"))

    assert np.isfinite(first["loss"])
    assert first["loss"] != plain["loss"]


def test_a_metric_of_a_plugin_is_logged_under_the_name_in_the_file(values):
    (first, _) = values("metrics=[{name: Count, scale: 2.0, as: rows}]")

    assert (first["rows"], first["val_rows"]) == (80, 32)
