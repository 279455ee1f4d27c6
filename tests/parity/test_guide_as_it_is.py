"""The guide's classes of 2020, pasted as they stand, log in fitx what they log under tf_keras.

The same text runs on both sides; only its import of Keras differs. Each training has 100 rows in
batches of 32, of which the last has 4.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from fitx.cli.display import NoDisplay
from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.datasets.digits import digits
from fitx.datasets.random import random
from fitx.experiment.check import read

PROGRAMS = Path(__file__).parent / "programs"
IMPORT = "from tensorflow import keras"
LINEAR = "model: linear"
REGULARIZED = """model:
  name: sequential
  layers:
    - {name: dense, units: 5, activation: tanh, kernel_regularizer: {name: l2, l2: 0.05}}
    - {name: dense, units: 1}
"""
COMPILED = "loss: mse\nmetrics: [mae]\n"
DATA = "data: {name: random, rows: 100, features: 6, shuffle: false}"
GAN = """
networks: {discriminator: make_discriminator, generator: make_generator}
compile:
  d_optimizer: {name: adam, learning_rate: 3e-4}
  g_optimizer: {name: adam, learning_rate: 3e-4}
  loss_fn: {name: binary_crossentropy, from_logits: true}
data: {name: npz, path: digits.npz, batch_size: 16, shuffle: false}
"""
NETWORKS = """

def make_discriminator():
    dense = keras.layers.Dense
    return keras.Sequential([keras.Input((64,)), dense(16, "tanh"), dense(1)])


def make_generator():
    dense = keras.layers.Dense
    return keras.Sequential([keras.Input((4,)), dense(16, "tanh"), dense(64, "sigmoid")])
"""
WEIGHTED = "data: {name: random, rows: 100, features: 6, sample_weight: true, shuffle: false}"


def close(values):
    return pytest.approx(values, rel=1e-5)


@pytest.fixture
def theirs(tmp_path):
    """The classes of a program under tf_keras."""

    def theirs(program, more=""):
        text = (PROGRAMS / f"{program}.py").read_text() + more
        path = tmp_path / f"theirs_{program}.py"
        path.write_text(text.replace(IMPORT, "import tf_keras as keras"))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return theirs


def network(saved, regularizer=None):
    """The network of a run as tf_keras builds it, with the same weights."""
    layers = [
        tf_keras.layers.Dense(layer.units, layer.activation.__name__, kernel_regularizer=kept)
        for layer in saved.layers
        for kept in [regularizer if layer.kernel_regularizer is not None else None]
    ]
    copy = tf_keras.Sequential([tf_keras.Input(saved.input_shape[1:]), *layers])
    copy.set_weights(saved.get_weights())
    return copy


@pytest.fixture
def file(tmp_path):
    """Write an experiment whose step is a class of the guide."""

    def file(program, *lines, name="CustomModel", more=""):
        text = (PROGRAMS / f"{program}.py").read_text() + more
        (tmp_path / f"{program}.py").write_text(text)
        head = [f"plugins: [{program}.py]", f"step: {name}", "fit: {epochs: 3}"]
        (tmp_path / f"{program}.yaml").write_text("\n".join([*head, *lines]))
        return tmp_path / f"{program}.yaml"

    return file


@pytest.fixture
def curves(run, untrained, file, theirs):
    """Train a program in both worlds; return the values of all epochs, ours and theirs."""

    def curves(program, model, data, *lines, **compiled):
        experiment = file(program, model, data, "optimizer: adam", *lines)
        l2 = tf_keras.regularizers.L2(0.05)
        copy = network(untrained(experiment).network(), l2)
        stock = theirs(program).CustomModel(copy.inputs, copy.outputs)
        stock.compile(optimizer="adam", **compiled)
        split = random(seed=0, rows=100, features=6, sample_weight=data == WEIGHTED)["train"]
        arrays = [split.x, split.y] + ([split.sample_weight] if data == WEIGHTED else [])
        x, y, *weight = arrays
        history = stock.fit(
            x, y, sample_weight=weight[0] if weight else None, epochs=3, shuffle=False, verbose=0
        ).history
        ours = run(experiment)
        return ours.values("loss", "mae"), [
            history[name][epoch] for epoch in range(3) for name in ("loss", "mae")
        ]

    return curves


@pytest.mark.parametrize("model", [LINEAR, REGULARIZED], ids=["linear", "regularized"])
def test_the_first_example(curves, model):
    ours, expected = curves("simple", model, DATA, COMPILED, loss="mse", metrics=["mae"])

    assert ours == close(expected)


def test_the_lower_level_example_with_metrics_of_its_module(curves):
    ours, expected = curves("low_level", LINEAR, DATA)

    assert ours == close(expected)


@pytest.mark.parametrize("data", [DATA, WEIGHTED], ids=["equal", "weighted"])
def test_the_example_with_sample_weights(curves, data):
    ours, expected = curves("weighted", REGULARIZED, data, COMPILED, loss="mse", metrics=["mae"])

    assert ours == close(expected)


def test_the_example_with_class_weights(run, untrained, file, theirs, tmp_path):
    train = digits()["train"]
    x, y = train.x[:100].reshape(100, -1), train.y[:100]
    np.savez(tmp_path / "digits.npz", x=x, y=y)
    accuracy = "sparse_categorical_accuracy"
    weights = {**dict.fromkeys(range(10), 1.0), 0: 3.0, 4: 0.5, 9: 2.0}
    experiment = file(
        "weighted",
        "model: {name: mlp, units: [8]}",
        "optimizer: adam",
        "loss: sparse_categorical_crossentropy",
        f"metrics: [{accuracy}]",
        f"data: {{name: npz, path: digits.npz, shuffle: false, class_weight: {weights}}}",
    )
    saved = untrained(experiment).network()
    layers = [layer for layer in saved.layers if layer.weights]
    copy = tf_keras.Sequential(
        [tf_keras.Input((64,))]
        + [tf_keras.layers.Dense(layer.units, layer.activation.__name__) for layer in layers]
    )
    copy.set_weights(saved.get_weights())
    stock = theirs("weighted").CustomModel(copy.inputs, copy.outputs)
    stock.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=[accuracy])
    history = stock.fit(x, y, class_weight=weights, epochs=3, shuffle=False, verbose=0).history

    expected = [history[name][epoch] for epoch in range(3) for name in ("loss", accuracy)]
    assert run(experiment).values("loss", accuracy) == close(expected)


def test_the_example_with_its_own_evaluation(file, theirs, untrained):
    experiment = file("evaluation", REGULARIZED, DATA, COMPILED)
    before = untrained(experiment, "optimizer=adam")
    copy = network(before.network(), tf_keras.regularizers.L2(0.05))
    stock = theirs("evaluation").CustomModel(copy.inputs, copy.outputs)
    stock.compile(loss="mse", metrics=["mae"])
    split = random(seed=0, rows=100, features=6)["train"]

    ours = evaluate(read(str(experiment)), EvaluationRequest(), NoDisplay())

    expected = stock.evaluate(split.x, split.y, verbose=0, return_dict=True)
    assert ours.metrics == close(expected)


@pytest.fixture
def same_numbers(monkeypatch):
    """Let both worlds draw the same numbers: a function of their shape."""

    def drawn(shape, **_):
        size = tf.reduce_prod(shape)
        return tf.reshape(tf.sin(13.0 * tf.cast(tf.range(size), "float32")), shape)

    monkeypatch.setattr(tf.random, "normal", drawn)
    monkeypatch.setattr(tf.random, "uniform", drawn)


def test_the_gan(file, run, untrained, theirs, same_numbers, tmp_path):
    x = digits()["train"].x[:40].reshape(40, -1)
    np.savez(tmp_path / "digits.npz", x=x)
    experiment = file("gan", GAN, name="{name: GAN, latent_dim: 4}", more=NETWORKS)
    before, module = untrained(experiment), theirs("gan", NETWORKS)
    networks = [module.make_discriminator(), module.make_generator()]
    for copy, name in zip(networks, ("discriminator", "generator"), strict=True):
        copy.set_weights(before.network(name).get_weights())
    gan = module.GAN(*networks, latent_dim=4)
    adams = [tf_keras.optimizers.Adam(3e-4) for _ in networks]
    gan.compile(*adams, tf_keras.losses.BinaryCrossentropy(from_logits=True))
    batches = [x[:16], x[16:32], x[32:]]
    epochs = [[gan.train_step(tf.constant(batch)) for batch in batches] for _ in range(3)]

    ours = run(experiment)

    expected = [
        np.average([float(values[name]) for values in epoch], weights=[16, 16, 8])
        for epoch in epochs
        for name in ("d_loss", "g_loss")
    ]
    assert ours.values("d_loss", "g_loss") == close(expected)
