"""One device against several: the same experiment, and what each left on disk."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CHILD = Path(__file__).with_name("child.py")

RAW = """
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Raw(Step):
    def __init__(self, model):
        super().__init__(model=model)
        self.steps = tf.Variable(0.0)

    def train_step(self, data):
        x, y = data
        self.steps.assign_add(1.0)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(y - self(x, training=True)))
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return {"loss": loss, "target": tf.reduce_mean(y)}

    def test_step(self, data):
        x, y = data
        return {"error": tf.reduce_mean(tf.abs(y - self(x, training=False)))}
"""

KEEPING = """
import tensorflow as tf
from fitx import Step, steps

queue = tf.queue.FIFOQueue(9, [tf.float32], shapes=[[]])
queue.enqueue(1.0)
count = tf.Variable(0.0)

@steps.register
class Keeping(Step):
    def __init__(self, model):
        super().__init__(model=model)
        self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0)

    def train_step(self, data):
        count.assign_add(1.0)
        self.table.insert("steps", self.table.lookup("steps") + 1.0)
        queue.enqueue(queue.dequeue() + 1.0)
        return {"count": count}
"""

DENSE = "{name: flatten}, {name: dense, units: 16, activation: leaky_relu}"

GAN = f"""
step: gan
networks:
  discriminator: {{name: sequential, layers: [{DENSE}, {{name: dense, units: 1}}]}}
  generator:
    name: sequential
    input_shape: [8]
    layers: [{{name: dense, units: 64}}, {{name: reshape, target_shape: [8, 8, 1]}}]
optimizers:
  discriminator: {{name: adam, learning_rate: 3e-4, global_clipnorm: 0.1}}
  generator: {{name: adam, learning_rate: 3e-4}}
data: {{name: digits, batch_size: 64, labels: false}}
fit: {{epochs: 2}}
"""

SEVERAL = """
step: supervised
model: linear
optimizer: sgd
loss: binary_crossentropy
metrics:
  - {name: auc, multi_label: true}
  - {name: f1_score, average: macro, threshold: 0.5}
  - {name: f_beta_score, average: macro, threshold: 0.5}
  - r2_score
  - {name: binary_accuracy, threshold: 0.4}
data: {name: npz, path: several.npz, batch_size: 50}
fit: {epochs: 2}
"""

SEMI = """
import tensorflow as tf
from fitx import Step, steps

@steps.register
class Semi(Step):
    def train_step(self, data):
        (x, y), extra = data["labelled"], data["extra"]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(y - self(x, training=True)))
            loss += tf.reduce_mean(tf.square(self(extra, training=True)))
        self.minimize(loss, tape, "model")
        return {"loss": loss, "target": tf.reduce_mean(y)}
"""

STREAMS = """
plugins: [semi.py]
step: semi
model: linear
optimizer: sgd
data:
  name: zip
  streams:
    labelled: {name: random, rows: 101, features: 4, batch_size: 20}
    extra: {name: random, rows: 31, features: 4, seed: 3, labels: false, batch_size: 30}
fit: {epochs: 3}
"""

OUTPUTS = """
import keras
import numpy as np


def houses():
    random = np.random.default_rng(0)
    image, age = random.normal(size=(101, 4)), random.uniform(size=(101, 1))
    labels = {"price": image[:, :1] - age, "old": (age > 0.5).astype("float32")}
    weights = {"price": age[:, 0], "old": 1 - age[:, 0]}
    return {"train": ({"image": image, "age": age}, labels, weights)}


def two(input_shape, outputs):
    inputs = {name: keras.Input(shape, name=name) for name, shape in input_shape.items()}
    both = keras.layers.Concatenate()([inputs["image"], inputs["age"]])
    price = keras.layers.Dense(outputs["price"], name="price")(both)
    old = keras.layers.Dense(1, activation="sigmoid", name="old")(both)
    return keras.Model(inputs, {"price": price, "old": old})
"""

SEVERAL_OUTPUTS = """
plugins: [outputs.py]
step: supervised
model: two
optimizer: sgd
loss: {price: mse, old: binary_crossentropy}
loss_weights: {price: 2.0, old: 0.5}
metrics: {price: mae, old: [accuracy, auc]}
weighted_metrics: {old: {name: binary_accuracy, as: weighted}}
data: {name: houses, batch_size: 20}
fit: {epochs: 2}
"""


def difference(one, other):
    """Return how far apart two states are at most, in shares of each array's largest number."""
    assert one.keys() == other.keys()
    return max(_far(one[name], other[name]) for name in one)


def _far(one, other):
    one, other = (array.astype("float64") for array in (one, other))
    if one.ndim < other.ndim:
        # Of a metric each replica keeps its share.
        other = other.sum(axis=0)
    return np.max(np.abs(one - other), initial=0) / max(np.max(np.abs(one), initial=0), 1e-30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with experiments that shipped ones do not cover."""
    path = tmp_path_factory.mktemp("distribution")
    (path / "raw.py").write_text(RAW)
    raw = "plugins: [raw.py]\nstep: raw\nmodel: linear\noptimizer: {name: sgd, clipnorm: 0.05}\n"
    data = "data: {name: random, rows: 1001, features: 4, batch_size: 50}\nfit: {epochs: 2}\n"
    (path / "raw.yaml").write_text(raw + data)
    (path / "keeping.py").write_text(KEEPING)
    keeping = "plugins: [keeping.py]\nstep: keeping\nmodel: linear\noptimizer: sgd\n"
    (path / "keeping.yaml").write_text(keeping + data)
    (path / "gan.yaml").write_text(GAN)
    (path / "outputs.py").write_text(OUTPUTS)
    (path / "several_outputs.yaml").write_text(SEVERAL_OUTPUTS)
    (path / "semi.py").write_text(SEMI)
    (path / "streams.yaml").write_text(STREAMS)
    x = np.random.default_rng(0).normal(size=(101, 3)).astype("float32")
    np.savez(path / "several.npz", x=x, y=(x > 0).astype("int32"))
    (path / "several.yaml").write_text(SEVERAL)
    return path


@pytest.fixture(scope="module")
def on_two(folder):
    """Train cases, each (file, overrides), on two virtual devices; return their outcomes."""

    def on_two(*cases):
        words = [json.dumps(case) for case in cases]
        command = [sys.executable, str(CHILD), str(folder / "two"), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return on_two
