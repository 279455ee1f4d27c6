"""Batches that are structures of arrays: read alike in every mode, by models and steps."""

import numpy as np
import pytest

from fitx.build.make import make

DATA = """
import numpy as np

import fitx


@fitx.datasets.register
def {name}():
    random = np.random.default_rng(0)
    image = random.normal(size=(22, 4, 4)).astype("float32")
    age = random.integers(0, 90, 22)
    price = image.sum(axis=(1, 2)) + age / 90
    kind = (age > 40).astype("int32")
    {returned}
"""
PAIRED = """
import keras

from fitx import steps
from fitx.step import Step


@steps.register
class Paired(Step):
    def train_step(self, data):
        inputs, price = data["inputs"], data["price"]
        import tensorflow as tf
        with tf.GradientTape() as tape:
            answer = self.model(inputs["image"], training=True)[:, 0]
            loss = tf.reduce_mean((answer - price) ** 2)
        self.minimize(loss, tape, "model")
        return {"loss": loss, "age": tf.reduce_mean(tf.cast(inputs["age"], "float32"))}
"""
RETURNED = "return {'train': {'price': price, 'inputs': {'image': image, 'age': age}}}"
WORDS = "step=paired", "loss=null", "fit.epochs=3"
MODEL = "model={name: mlp, units: [4], input_shape: [4, 4], outputs: 1, output_activation: linear}"


def dataset(returned):
    return DATA.format(name="own", returned=returned)


@pytest.mark.parametrize("mode", ["xla", "fused", "fused_xla"])
def test_a_step_gets_dictionaries_in_every_mode(trained, mode):
    parts = {"own": dataset(RETURNED), "paired": PAIRED}
    words = ("data={name: own, batch_size: 4}", MODEL, *WORDS)
    plain = trained(*words, "execution.mode=plain", **parts)
    other = trained(*words, f"execution.mode={mode}", **parts)

    for name in ("loss", "age"):
        np.testing.assert_allclose(other.column(name), plain.column(name), rtol=1e-5)
    # A short batch of two rows counts by its rows: every epoch logs the mean of all rows.
    np.testing.assert_allclose(plain.column("age"), [plain.column("age")[0]] * 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("returned", "batch"),
    [
        ("{'train': (image, age)}", "(x, x)"),
        ("{'train': [image, age, kind]}", "(x, x, x)"),
        ("{'train': image}", "x"),
        ("{'train': (image,)}", "x"),
        ("{'train': (image, age, price, kind)}", "(x, x, x, x)"),
        ("{'train': {'b': image, 'a': (age, [kind])}}", "{'a': (x, (x,)), 'b': x}"),
        ("{'train': ((image, age), {'k': kind})}", "((x, x), {'k': x})"),
        ("((image, age), (image, age))", "(x, x)"),
        ("{'train': fitx.Split((image, age))}", "((x, x),)"),
    ],
)
def test_a_dataset_may_return_what_the_step_gets(written, returned, batch):
    word = "model={name: mlp, input_shape: [4, 4], outputs: 1, output_activation: linear}"
    experiment = written(
        "data=own",
        "step=paired",
        "loss=null",
        word,
        own=dataset(f"return {returned}"),
        paired=PAIRED,
    )
    built = make(experiment)

    def shown(value):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k!r}: {shown(v)}" for k, v in value.items()) + "}"
        if isinstance(value, tuple):
            return f"({', '.join(map(shown, value))}{',' * (len(value) == 1)})"
        return "x"

    assert shown(built.data.splits["train"].batch) == batch
    assert list(built.data.splits) == ["train"]


SEMI = """
import tensorflow as tf

from fitx import steps
from fitx.step import Step


@steps.register
class Semi(Step):
    def train_step(self, data):
        (x, y), other = data["labelled"], data["extra"]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.model(x, training=True) - y) ** 2)
            spread = tf.math.reduce_mean(self.model(other, training=True) ** 2)
            total = loss + 0.1 * spread
        self.minimize(total, tape, "model")
        return {"loss": loss, "spread": spread, "first": tf.reduce_mean(y)}

    def test_step(self, data):
        x, y = data["labelled"]
        return {"loss": tf.reduce_mean((self.model(x) - y) ** 2)}
"""
STREAMS = """
    data={name: zip, streams: {labelled: {name: random, rows: 22, features: 3, batch_size: 4,
    validation_split: 0.2}, extra: {name: random, rows: 13, features: 3, batch_size: 8, seed: 5,
    labels: false}}}
"""


def semi(*words):
    data = " ".join(STREAMS.split())
    return (data, "step=semi", "loss=null", "fit.epochs=4", "model={name: mlp, units: [4]}", *words)


def test_streams_of_unequal_length_are_trained_on_in_every_mode(trained):
    plain = trained(*semi("execution.mode=plain"), semi=SEMI)
    for mode in ("xla", "fused", "fused_xla"):
        other = trained(*semi(f"execution.mode={mode}"), semi=SEMI)
        for name in ("loss", "spread", "first", "val_loss"):
            np.testing.assert_allclose(other.column(name), plain.column(name), rtol=1e-4)
    # The rows of the labelled stream count: every epoch logs the mean over its 17 rows.
    np.testing.assert_allclose(plain.column("first"), [plain.column("first")[0]] * 4, rtol=1e-5)
