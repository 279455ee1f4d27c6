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
    def loss_of(self, data):
        x, y = data
        p = self.factor * self.back(self.front(x))
        return tf.reduce_mean((p - tf.cast(y, p.dtype)) ** 2)
    def train_step(self, data):
        with tf.GradientTape() as tape:
            loss = self.loss_of(data)
        self.minimize(loss, tape{names})
        return {{"loss": loss}}
    def test_step(self, data):
        return {{"loss": self.loss_of(data)}}
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
    words = ("~optimizer", f"optimizers={{front: {scales[0]}, back: {scales[1]}}}")
    *_, scaled = chained(*words, names=names)
    assert_close(alone, scaled)
    *_, precise = chained(*words, "execution.precision=float64", names=names)
    assert precise[0].dtype == np.float64


def test_several_optimizers_train_an_embedding_of_which_a_batch_uses_some_rows(chained):
    # Every index is 0: the first row.
    layers = "{name: dense, units: 3, activation: sigmoid}, "
    layers += "{name: embedding, input_dim: 9, output_dim: 3}, {name: global_average_pooling1d}"
    front = f"networks.front.layers=[{layers}]"
    sgd, still = (f"{{name: sgd, learning_rate: {rate}}}" for rate in (0.05, 0.0))
    *_, before = chained(front, "~optimizer", f"optimizers={{front: {still}, back: {still}}}")
    *_, after = chained(front, "~optimizer", f"optimizers={{front: {sgd}, back: {sgd}}}")

    assert (before[2] != after[2]).any(axis=1).tolist() == [True] + [False] * 8
