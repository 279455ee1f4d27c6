"""Trains steps with one optimizer for several networks."""

import keras
import numpy as np
import pytest

from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.rundir.saved_experiment import read_unimported

CHAIN = """
import keras
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Plugin(Step):
    '''Trains two networks, one after the other, and a factor of its own.'''
    def __init__(self, front, back):
        super().__init__(front=front, back=back)
        self.factor = self.add_weight(shape=(), initializer="ones", trainable={factor})
    def predictions(self, x):
        return self.factor * self.back(self.front(x))
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.predictions(x) - y) ** 2)
        self.minimize(loss, tape{names})
        return {{"loss": loss}}
    def test_step(self, data):
        x, y = data
        return {{"loss": tf.reduce_mean((self.predictions(x) - y) ** 2)}}
"""
LAYERS = ("{name: dense, units: 3}", "{name: dense, units: 1}")
NETWORKS = (
    f"networks={{front: {{name: sequential, layers: [{LAYERS[0]}]}}, "
    f"back: {{name: sequential, input_shape: [3], layers: [{LAYERS[1]}]}}}}"
)
BOTH, BACK = ', "front", "back"', ', "back"'
CLIPPED = "{name: adam, learning_rate: 0.1, global_clipnorm: 0.01, use_ema: true}"


@pytest.fixture
def chained(tiny, trained, recording):
    """Train two networks; return the run, the display and the weights of both."""

    def chained(*words, names="", factor=False):
        words = ("step=plugin", NETWORKS, *words)
        plugin = CHAIN.format(names=names, factor=factor)
        removed = ("~model", "~loss", "~metrics", "fit.epochs=2", "data.shuffle=false")
        run, result = trained(tiny(*removed, *words, plugin=plugin), display := recording())
        assert not isinstance(result, Exception), result
        return run, display, weights(run, "front", "back")

    return chained


def weights(run, *names):
    files = [run.folder / f"networks/{name}.keras" for name in names]
    return [array for file in files for array in keras.models.load_model(file).get_weights()]


def assert_close(some, others):
    for array, other in zip(some, others, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-5, atol=1e-6)


def test_it_trains_the_networks_as_it_trains_one_network_of_all_their_layers(
    tiny, trained, chained
):
    network = f"model={{name: sequential, layers: [{', '.join(LAYERS)}]}}"
    words = ("fit.epochs=2", "data.shuffle=false", f"optimizer={CLIPPED}")
    one, _ = trained(tiny(network, *words))
    *_, unnamed = chained(f"optimizer={CLIPPED}")
    *_, named = chained(f"optimizer={CLIPPED}", names=BOTH)
    assert_close(unnamed, weights(one, "model"))
    assert_close(named, unnamed)


def test_networks_that_the_loss_does_not_reach_or_the_step_does_not_name_stay_as_they_are(chained):
    _, display, both = chained("optimizer=adam", names=BACK)
    assert (
        "front sequential, 15 parameters, never updated by train_step, back" in display.plan.summary
    )
    *_, (kernel, bias, *_back) = chained("optimizer={name: sgd, learning_rate: 0.0}")
    assert_close(both[:2], (kernel, bias))


def test_it_trains_the_variables_of_the_step_too(chained, recording):
    run, *_ = chained("optimizer={name: adam, learning_rate: 0.1}", names=BOTH, factor=True)
    request = EvaluationRequest(run=run.folder)
    measured = evaluate(read_unimported(run.folder), request, recording()).metrics["loss"]
    assert measured == pytest.approx(run.json("summary.json")["metrics"]["test_loss"])
    assert "optimizer:\n  name: adam" in (run.folder / "experiment.yaml").read_text()


@pytest.mark.parametrize("names", ["", BOTH])
def test_several_optimizers_take_a_step_each_with_a_loss_scale_of_their_own(chained, names):
    sgd = "{{name: sgd, learning_rate: 0.05{scale}}}"
    scales = [sgd.format(scale=f", loss_scale_factor: {scale}") for scale in (8, 0.5)]
    *_, alone = chained("~optimizer", f"optimizer={sgd.format(scale='')}")
    *_, scaled = chained(
        "~optimizer", f"optimizers={{front: {scales[0]}, back: {scales[1]}}}", names=names
    )
    assert_close(alone, scaled)
