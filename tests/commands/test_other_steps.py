"""Evaluates runs by another step, and steps that get the number of training steps."""

import pytest

from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.commands.resume import resume
from fitx.errors import UsageError
from fitx.experiment.check import use_step
from fitx.experiment.plugin_import import load
from fitx.rundir.saved_experiment import read_unimported
from fitx.training.resumption.resume_request import open_for_resume

CLASSES = """
import keras
import tensorflow as tf

class Trained(keras.Model):
    def __init__(self, model):
        super().__init__()
        self.model = model
    def call(self, x, training=False):
        return self.model(x, training=training)

class Doubled(keras.Model):
    def __init__(self, model, factor=2.0):
        super().__init__()
        self.model, self.factor = model, factor
    def test_step(self, data):
        x, y = data
        return {"doubled": self.factor * tf.reduce_mean((self.model(x) - y) ** 2)}

class Pair(keras.Model):
    def __init__(self, model, other):
        super().__init__()
"""
COUNTED = """
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    def __init__(self, model, *, total_steps: int, steps_per_epoch: int, seed: int):
        super().__init__(model=model)
        self.numbers = {"total": total_steps, "each": steps_per_epoch, "seed": seed}
    def train_step(self, data):
        return {name: tf.constant(float(value)) for name, value in self.numbers.items()}
"""
NONE = ("~loss", "~metrics", "~checkpoint", "step=plugin")


def test_a_run_of_a_class_is_evaluated_by_a_shipped_step_and_by_another_class(
    tiny, trained, recording
):
    run, result = trained(tiny("step=Trained", plugin=CLASSES))

    def measured(name):
        other = use_step(read_unimported(run.folder, (), own_step=False), name)
        load(other)
        return evaluate(other, EvaluationRequest(run=run.folder), recording()).metrics

    loss = result.metrics["test_loss"]
    assert measured("supervised")["loss"] == pytest.approx(loss)
    assert measured("Doubled")["doubled"] == pytest.approx(2 * loss)
    with pytest.raises(UsageError) as refused:
        measured("Pair")
    assert str(refused.value) == (
        "step 'Pair' needs the network 'other'; this experiment has model."
    )


def test_a_step_gets_the_number_of_its_training_steps(tiny, trained, recording):
    run, result = trained(tiny(*NONE, "seed=7", plugin=COUNTED))
    assert result.metrics == {"total": 15.0, "each": 5.0, "seed": 7.0}

    display = recording()
    with open_for_resume(run.folder, ("fit.epochs=4",), allow_inexact=False) as request:
        result = resume(request, display)
    assert result.metrics["total"] == 20.0
    assert any(note.startswith("step.total_steps: changes with") for note in display.notes)


def test_an_experiment_may_set_the_number_of_training_steps_itself(tiny, trained):
    _, result = trained(tiny(*NONE, "step.total_steps=100", plugin=COUNTED))
    assert result.metrics["total"] == 100.0
