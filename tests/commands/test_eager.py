"""Trains with `execution.eager`, in which the steps run as plain Python."""

import sys

import keras
import numpy as np
import pytest

from fitx.commands.resume import resume
from fitx.errors import Interrupted
from fitx.experiment.problems import ConfigError
from fitx.training.resumption.resume_request import open_for_resume
from fitx.training.train_request import TrainRequest

NOISY = """
import keras
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Trains with noise of TensorFlow, a metric of its own and a count.'''
    def __init__(self, model):
        super().__init__(model=model)
        self.error = keras.metrics.MeanAbsoluteError(name="error")
        self.count = tf.Variable(0.0, trainable=False)
    def train_step(self, data):
        x, y = data
        breakpoint()
        print("rows", x.shape[0] if tf.executing_eagerly() else "traced")
        with tf.GradientTape() as tape:
            p = self.model(x + 0.1 * tf.random.normal(tf.shape(x)), training=True)
            loss = self.compute_loss(y=y, y_pred=p)
        self.minimize(loss, tape, "model")
        self.error.update_state(y, p)
        self.count.assign_add(1.0)
        return {"loss": loss, "error": self.error.result(), "count": self.count}
    def test_step(self, data):
        x, y = data
        return {"loss": self.compute_loss(y=y, y_pred=self.model(x))}
"""
DROPPED = "model={name: sequential, layers: [{name: dense, units: 9}, {name: dropout, rate: 0.5}]}"
DROPPED = DROPPED.replace("0.5}]", "0.5}, {name: dense, units: 1}]")
WORDS = ("step=plugin", "~metrics", DROPPED)


def weights(run):
    return keras.models.load_model(run.folder / "networks/model.keras").get_weights()


@pytest.fixture
def stops(monkeypatch):
    """Count the calls of `breakpoint()`."""
    calls = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: calls.append(1))
    return calls


def test_it_gives_the_values_of_a_graph_and_stops_at_breakpoints(tiny, trained, stops, capsys):
    graph, _ = trained(tiny(*WORDS, "execution.mode=plain", plugin=NOISY))
    capsys.readouterr()
    del stops[:]
    eager, _ = trained(tiny(*WORDS, "execution.eager=true", plugin=NOISY))

    assert capsys.readouterr().out.split("\n").count("rows 8") == 15
    assert len(stops) == 15
    for ours, theirs in zip(eager.epochs, graph.epochs, strict=True):
        assert ours == pytest.approx({**theirs, "seconds": ours["seconds"]}, rel=1e-5)
    for ours, theirs in zip(weights(eager), weights(graph), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_it_resumes_exactly(tiny, trained, stops, tmp_path, recording):
    from fitx.commands.train import train

    words = (*WORDS, "execution.eager=true")
    straight, _ = trained(tiny(*words, plugin=NOISY))
    with pytest.raises(Interrupted):
        train(tiny(*words, plugin=NOISY), TrainRequest(tmp_path / "b", stop_after=7), recording())
    (latest,) = tmp_path.glob("b/*/latest")
    with open_for_resume(latest.resolve(), (), allow_inexact=False) as request:
        result = resume(request, recording())

    assert result.metrics == straight.json("summary.json")["metrics"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["execution.mode=fused"],
            "execution.eager runs one step per call, as Python; write",
        ),
        (
            ["execution.strategy=mirrored", "execution.virtual_devices=2"],
            "works on one device, not with strategy mirrored; remove one of them.",
        ),
    ],
)
def test_it_is_refused_with_fused_modes_and_strategies(tiny, words, text):
    with pytest.raises(ConfigError) as refused:
        tiny("execution.eager=true", *words)
    assert text in str(refused.value)
