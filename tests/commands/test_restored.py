"""What is restored is what was: in every mode, for every kind of state, whatever the last batch is.

A run that was stopped and resumed is the run that was not, to the bit; `evaluate` gives what the
run itself measured, to the bit; and the best epoch's state gives what its validation gave.
"""

import itertools
import json
import os

import numpy as np
import pytest

from fitx import checkpoint
from fitx.cli.display import NoDisplay
from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.commands.resume import resume
from fitx.commands.train import train
from fitx.errors import Interrupted
from fitx.experiment.check import read
from fitx.rundir.saved_experiment import read_unimported
from fitx.training.resumption.resume_request import open_for_resume
from fitx.training.train_request import TrainRequest

STOP = 7
"""The step after which a run is stopped, the second of its second epoch."""

MODES = ("plain", "xla", "fused", "fused_xla")
BASE = """
name: {name}
{plugins}
step: {step}
{networks}
data: {{name: npz, path: {data}.npz, batch_size: 8}}
fit: {{epochs: 3}}
checkpoint: {{monitor: val_loss, mode: max}}
execution: {{mode: {mode}}}
"""
"""The worst epoch is kept as the best: an early one, in a training that goes well."""

SUPERVISED = """
model: {{name: sequential, layers: [{layers}, {{name: dense, units: 1}}]}}
optimizer: {{name: adam, learning_rate: 0.05}}
loss: mse
metrics: [mae]
"""
OWN = '''
import keras
import tensorflow as tf
from fitx import Step, steps


class Scale(keras.layers.Layer):
    """Multiplies by a number that Keras does not know."""

    def __init__(self):
        super().__init__()
        self.factor = tf.Variable(1.0)

    def call(self, x):
        return self.factor * x


@steps.register
class Own(Step):
    """Keeps a layer that is trained, and numbers in every way there is."""

    def __init__(self, model):
        super().__init__(model=model)
        self.head = keras.layers.Dense(1)
        self.head.build((None, 1))
        self.scale = Scale()
        # Both have the name that TensorFlow gives to variables without one.
        self.counts = {"tested": tf.Variable(0.0), "trained": [tf.Variable(0.0)]}
        self.generator = tf.random.Generator.from_seed(5)
        self.noise = keras.random.SeedGenerator(3)

    def call(self, x, training=False):
        return self.scale(self.head(self.model(x, training=training)))

    def train_step(self, data):
        x, y = data
        self.counts["trained"][0].assign_add(1.0)
        self.scale.factor.assign(0.9 * self.scale.factor + 0.2)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        self.minimize(loss, tape, "model")
        drawn = self.generator.uniform(()) + tf.random.uniform(())
        return {"loss": loss, "trained": self.counts["trained"][0] + drawn}

    def test_step(self, data):
        x, y = data
        self.counts["tested"].assign_add(1.0)
        noise = keras.random.normal(tf.shape(y), seed=self.noise)
        loss = tf.reduce_mean((self(x) + 0.1 * noise - y) ** 2)
        return {
            "loss": loss,
            "tested": self.counts["tested"],
            "trained": 2.0 * self.counts["trained"][0],
            "rate": tf.cast(self.optimizer.learning_rate, "float32"),
            "drawn": self.generator.uniform(()),
        }
'''
TABLES = '''
import tensorflow as tf
from fitx import Step, steps

mutable, dense = tf.lookup.experimental.MutableHashTable, tf.lookup.experimental.DenseHashTable


@steps.register
class Tables(Step):
    """Keeps what it has seen in tables of every kind, in strings, and in a list that grows."""

    def __init__(self, model):
        super().__init__(model=model)
        self.words = mutable(tf.string, tf.float32, 0.0)
        self.pairs = mutable(tf.int64, tf.float32, [0.0, 1.0])
        self.names = mutable(tf.int64, tf.string, "")
        self.places = dense(tf.int64, tf.float32, 0.0, [-1, -1], [-2, -2], 16)
        vocabulary = tf.lookup.KeyValueTensorInitializer(["even", "odd\\0"], [2.0, 3.0])
        self.vocabulary = tf.lookup.StaticHashTable(vocabulary, 0.0)
        self.story = tf.Variable(["", "-"])
        self.history = tf.Variable(tf.zeros([0]), shape=[None])

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        self.minimize(loss, tape, "model")
        self.history.assign(tf.concat([self.history, [loss]], axis=0))
        key = tf.cast(10.0 * x[:2, 0], tf.int64)
        self.pairs.insert(key, self.pairs.lookup(key) + [1.0, 0.5])
        self.places.insert(tf.stack([key, key + 1], axis=1), x[:2, 1])
        self.places.remove(tf.stack([key - 1, key], axis=1))
        self.names.insert(key, tf.strings.as_string(key))
        return {"loss": loss, **self.seen(key)}

    def test_step(self, data):
        x, y = data
        key = tf.cast(10.0 * x[:2, 0], tf.int64)
        word = tf.where(key % 2 == 0, "even", "odd\\0")[:1]

        def count(n):
            self.words.insert(word, self.words.lookup(word) + self.vocabulary.lookup(word))
            return n + 1

        tf.while_loop(lambda n: n < 2, count, [0])
        self.story.assign(tf.strings.join([self.story, tf.repeat(word, 2)]))
        words = tf.reduce_sum(self.words.lookup(tf.constant(["even", "odd\\0"])))
        return {"loss": tf.reduce_mean((self(x) - y) ** 2), "words": words, **self.seen(key)}

    def seen(self, key):
        key = tf.concat([key, tf.range(-9, 9, dtype=tf.int64)], axis=0)
        _, places = self.places.export()
        lengths = tf.strings.length(tf.concat([self.story, self.names.lookup(key)], axis=0))
        return {
            "first": self.pairs.lookup(key)[0, 0],
            "pairs": tf.reduce_sum(self.pairs.lookup(key)),
            "places": tf.reduce_sum(self.places.lookup(tf.stack([key, key + 1], axis=1))),
            "rows": tf.cast(tf.shape(places)[0], tf.float32),
            "lengths": tf.reduce_sum(tf.cast(lengths, tf.float32)),
            "history": tf.reduce_sum(self.history),
        }
'''
ATTENTION = '''
import keras
from fitx import models


@models.register
def attention(input_shape):
    """One head that looks at three positions."""
    x = inputs = keras.Input(input_shape)
    x = keras.layers.Reshape((3, 2))(x)
    x = keras.layers.MultiHeadAttention(1, 2, dropout=0.2)(x, x)
    x = keras.layers.LayerNormalization()(x)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(x)))
'''
EVERY_LAYER = '''
import keras
from fitx import models

layers = keras.layers


@models.register
def every_layer(input_shape):
    """Return a network with frozen and regularized layers, attention, noise and statistics."""
    x = inputs = keras.Input(input_shape)
    x = layers.Dense(6, kernel_regularizer="l2", trainable=False)(x)
    x = layers.Dense(6, kernel_regularizer="l2")(x)
    x = layers.Dropout(0.3)(layers.BatchNormalization()(x))
    x = layers.Reshape((3, 2))(x)
    x = layers.MultiHeadAttention(1, 2, dropout=0.2)(x, x)
    x = layers.Flatten()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(1)(x))
'''
PAIR = '''
import tensorflow as tf
from fitx import Step, steps


@steps.register
class Pair(Step):
    """Two networks, each with an optimizer of its own; the second learns what the first leaves."""

    def __init__(self, first, second):
        super().__init__(first=first, second=second)

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.first(x, training=True) - y) ** 2)
        self.minimize(loss, tape, "first")
        rest = y - self.first(x)
        with tf.GradientTape() as tape:
            left = tf.reduce_mean((self.second(x, training=True) - rest) ** 2)
        self.minimize(left, tape, "second")
        return {"loss": loss, "left": left}

    def test_step(self, data):
        x, y = data
        return {"loss": tf.reduce_mean((self.first(x) + self.second(x) - y) ** 2)}
'''
PLUGINS = {
    "own": OWN,
    "pair": PAIR,
    "attention": ATTENTION,
    "every_layer": EVERY_LAYER,
    "tables": TABLES,
}
ONE = (
    "{name: sequential, layers: "
    "[{name: dense, units: 2}, {name: dropout, rate: 0.3}, {name: dense, units: 1}]}"
)
REGULARIZED = "kernel_regularizer: {name: l2, l2: 0.1}"
KINDS = {
    "dense": ("supervised", "", SUPERVISED.format(layers="{name: dense, units: 3}")),
    "recurrent": (
        "supervised",
        "",
        SUPERVISED.format(
            layers="{name: reshape, target_shape: [3, 2]}, {name: lstm, units: 2}",
        ),
    ),
    "attention": (
        "supervised",
        ATTENTION,
        "model: attention\noptimizer: {name: adam, learning_rate: 0.05}\nloss: mse",
    ),
    "every_layer": (
        "supervised",
        EVERY_LAYER,
        "model: every_layer\noptimizer: {name: adam, learning_rate: 0.05}\n"
        "loss: mse\nmetrics: [mae]",
    ),
    "statistics": (
        "supervised",
        "",
        SUPERVISED.format(
            layers="{name: dense, units: 3}, {name: dropout, rate: 0.4}, batch_normalization",
        ),
    ),
    "own": ("own", OWN, f"model: {ONE}\noptimizer: {{name: adam, learning_rate: 0.05}}"),
    "averages": (
        "own",
        OWN,
        f"model: {ONE}\n"
        "optimizer: {name: adam, learning_rate: 0.05, use_ema: true, ema_momentum: 0.8}",
    ),
    "tables": ("tables", TABLES, "model: linear\noptimizer: adam"),
    "two": (
        "pair",
        PAIR,
        f"networks: {{first: {ONE}, second: {ONE}}}\n"
        "optimizers: {first: {name: adam, use_ema: true}, second: {name: sgd, momentum: 0.5}}",
    ),
    "frozen": (
        "supervised",
        "",
        SUPERVISED.format(
            layers=f"{{name: dense, units: 3, trainable: false, {REGULARIZED}}}, "
            f"{{name: dense, units: 3, {REGULARIZED}}}",
        ),
    ),
}
"""By what a run keeps: the step, a plugin, and the networks with their optimizers."""


FEW = [
    ("every_layer", "plain", True),
    ("every_layer", "fused_xla", False),
    ("recurrent", "xla", True),
    ("own", "fused", False),
    ("averages", "fused_xla", True),
    ("tables", "plain", False),
    ("tables", "fused", True),
    ("two", "fused", True),
]
"""Everything that a run keeps, and every mode with and without a short last batch."""


def cases():
    """Return a few cases in which everything occurs; in `make soak`, every kind in every mode."""
    if not os.environ.get("FITX_SOAK"):
        return FEW
    # XLA compiles no tables.
    modes = {kind: ("plain", "fused") if kind == "tables" else MODES for kind in KINDS}
    return [
        case for kind in KINDS for case in itertools.product([kind], modes[kind], (False, True))
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of plugins, and of data with and without short last batches."""
    folder = tmp_path_factory.mktemp("restored")
    generator = np.random.default_rng(0)
    for name, sizes in {"full": (40, 16, 8), "short": (37, 19, 11)}.items():
        arrays = {}
        for suffix, rows in zip(("", "_validation", "_test"), sizes, strict=True):
            x = generator.normal(size=(rows, 6)).astype("float32")
            arrays |= {f"x{suffix}": x, f"y{suffix}": x.sum(axis=1, keepdims=True)}
        np.savez(folder / f"{name}.npz", **arrays)
    for name, text in PLUGINS.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def written(folder, kind, mode, is_short):
    step, plugin, networks = KINDS[kind]
    name = next((name for name, text in PLUGINS.items() if text == plugin), None)
    text = BASE.format(
        name=kind,
        plugins=f"plugins: [{name}.py]" if name else "",
        step=step,
        networks=networks,
        data="short" if is_short else "full",
        mode=mode,
    )
    file = folder / f"{kind}-{mode}-{is_short}.yaml"
    file.write_text(text)
    return read(str(file))


class Left:
    """What a run left."""

    def __init__(self, run):
        self.run = run.resolve()
        newest = checkpoint.newest(self.run / "checkpoints")
        self.arrays = {name: array.tobytes() for name, array in newest.state.items()}
        times = ("seconds", "begun", "journal_bytes", "run")
        self.facts = {k: v for k, v in newest.meta.items() if k not in times}
        lines = (self.run / "metrics.jsonl").read_text().splitlines()
        self.epochs = [{**json.loads(line), "seconds": 0} for line in lines]
        self.values = json.loads((self.run / "summary.json").read_text())["metrics"]

    def split(self, values, prefix):
        return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}

    def measured(self, **question):
        notes = []
        display = NoDisplay()
        display.note = notes.append
        found = evaluate(
            read_unimported(self.run), EvaluationRequest(run=self.run, **question), display
        )
        assert notes == []
        return found.metrics


@pytest.mark.parametrize(("kind", "mode", "is_short"), cases())
def test_what_is_restored_is_what_was(folder, kind, mode, is_short):
    experiment = written(folder, kind, mode, is_short)
    out = folder / f"{mode}-{is_short}"
    train(experiment, TrainRequest(out / "straight"), NoDisplay())
    straight = Left(out / "straight" / kind / "latest")
    with pytest.raises(Interrupted):
        train(experiment, TrainRequest(out / "stopped", stop_after=STOP), NoDisplay())
    run = (out / "stopped" / kind / "latest").resolve()
    with open_for_resume(run, (), allow_inexact=False) as request:
        resume(request, NoDisplay())
    resumed = Left(run)

    unlike = [name for name in straight.arrays if straight.arrays[name] != resumed.arrays.get(name)]
    assert unlike == []
    assert (resumed.facts, resumed.epochs) == (straight.facts, straight.epochs)
    assert resumed.values == straight.values
    assert straight.measured() == straight.split(straight.values, "test_")
    best = straight.facts["best"]["epoch"]
    assert straight.measured(weights="best", split="validation") == straight.split(
        straight.epochs[best - 1], "val_"
    )
