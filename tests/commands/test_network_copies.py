"""Trains steps with a network that is a copy of another one."""

import keras
import numpy as np
import pytest

from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.experiment.check import use_step
from fitx.rundir.saved_experiment import read_unimported

AVERAGE = """
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Trains a network, and keeps the average of its weights.'''
    def __init__(self, model, average, *, rate: float):
        super().__init__(model=model, average=average)
        self.rate = rate
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.model(x) - y) ** 2)
        self.minimize(loss, tape, "model")
        for average, variable in zip(self.average.variables, self.model.variables, strict=True):
            average.assign(self.rate * average + (1 - self.rate) * variable)
        return {"loss": loss}
    def test_step(self, data):
        x, y = data
        return {"loss": tf.reduce_mean((self.average(x) - y) ** 2)}
"""
NETWORK = "{name: sequential, layers: [{name: dense, units: 3}, {name: dense, units: 1}]}"


@pytest.fixture
def averaged(tiny, trained):
    """Train a step that averages weights; return its run and the weights of its networks."""

    def averaged(rate, learning_rate, *words):
        experiment = tiny(
            f"step={{name: plugin, rate: {rate}}}",
            f"networks={{average: {{copy_of: model}}, model: {NETWORK}}}",
            f"optimizers={{model: {{name: sgd, learning_rate: {learning_rate}}}}}",
            *("~model", "~optimizer", "~loss", "~metrics", *words),
            plugin=AVERAGE,
        )
        run, _ = trained(experiment)
        files = [run.folder / f"networks/{name}.keras" for name in ("average", "model")]
        return run, *(keras.models.load_model(file).get_weights() for file in files)

    return averaged


def test_a_copy_has_the_initial_weights_of_its_network_and_is_not_trained(averaged):
    _, average, model = averaged(1.0, 0.0)
    np.testing.assert_equal(average, model)
    _, untouched, trained_model = averaged(1.0, 0.1)
    np.testing.assert_equal(untouched, average)
    assert any((a != b).any() for a, b in zip(trained_model, model, strict=True))


def test_a_step_may_change_a_copy(averaged):
    _, average, model = averaged(0.0, 0.1)
    np.testing.assert_equal(average, model)


def test_a_run_with_a_copy_is_evaluated_with_and_without_it(averaged, recording):
    run, *_ = averaged(0.5, 0.1)
    expected = run.json("summary.json")["metrics"]["test_loss"]
    request = EvaluationRequest(run=run.folder)
    experiment = read_unimported(run.folder)
    assert evaluate(experiment, request, recording()).metrics == {"loss": pytest.approx(expected)}
    words = ("loss=mse",)
    other = use_step(read_unimported(run.folder, words, own_step=False), "supervised")
    assert evaluate(other, request, recording()).metrics["loss"] != pytest.approx(expected)


UNBUILT = """
import keras

class Line(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)
    def call(self, x):
        return self.dense(x)

class Averaged(keras.Model):
    def __init__(self, model, average):
        super().__init__()
        self.model, self.average = model, average
    def call(self, x):
        return self.model(x)
"""


def test_a_network_without_weights_yet_is_not_copied(tiny, trained):
    networks = "networks={model: Line, average: {copy_of: model}}"
    _, error = trained(tiny("~model", networks, "step=Averaged", plugin=UNBUILT))
    assert "'Line' returned a network without a known input shape" in str(error)
