"""Batches that are structures of arrays: read alike in every mode, by models and steps."""

import keras
import numpy as np
import pytest

from fitx.build.make import make
from fitx.build.preflight import trace_and_check
from fitx.build.step_feeds import training_feed
from fitx.data.feed import training_batches
from fitx.engine.modes.execution_modes import MODES, ExecutionPlan
from fitx.errors import DataError
from fitx.experiment.problems import ConfigError

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


HOUSES = """
import keras
import numpy as np

from fitx import datasets, models


@datasets.register
def own(*, rows: int = 20, as_lists: bool = False, weighted: bool = False):
    random = np.random.default_rng(0)
    image = random.normal(size=(rows, 4, 4)).astype("float32")
    age = random.uniform(0, 1, (rows, 1)).astype("float32")
    price, old = image.mean(axis=(1, 2))[:, None] - age, (age > 0.5).astype("float32")
    weights = ({"price": age[:, 0], "old": 1 - age[:, 0]},) if weighted else ()
    x, y = {"image": image, "age": age}, {"price": price, "old": old}
    if as_lists:
        x, y = [image, age], [price, old]
        weights = (list(weights[0].values()),) if weighted else ()
    return {"train": (x, y, *weights), "test": (x, y, *weights)}
"""
TWO = """
import keras

from fitx import models


@models.register
def two(input_shape, outputs, output_activation: list, *, as_lists: bool = False):
    keys = (0, 1) if as_lists else ("image", "age")
    image, age = (keras.Input(input_shape[key], name=n) for key, n in zip(keys, ("image", "age")))
    hidden = keras.layers.Concatenate()([keras.layers.Flatten()(image), age])
    ends = {
        name: keras.layers.Dense(outputs[key], activation=output_activation[key], name=name)(hidden)
        for key, name in zip((0, 1) if as_lists else ("price", "old"), ("price", "old"))
    }
    return keras.Model([image, age] if as_lists else {"image": image, "age": age},
                       list(ends.values()) if as_lists else ends)
"""
BY_NAME = (
    "loss={price: mse, old: binary_crossentropy}",
    "metrics={price: [mae], old: accuracy}",
    "weighted_metrics={price: [{name: mse, as: squares}]}",
    "loss_weights={price: 2.0, old: 0.5}",
)
IN_ORDER = (
    "loss=[mse, binary_crossentropy]",
    "metrics=[[mae], [accuracy]]",
    "loss_weights=[2.0, 0.5]",
)
LOSSES = {"price": "mse", "old": "binary_crossentropy"}


def houses(*words, data="", model=""):
    return (
        f"data={{name: own, batch_size: 4{data}}}",
        f"model={{name: two{model}}}",
        "optimizer={name: sgd, learning_rate: 0.1}",
        *words,
    )


@pytest.mark.parametrize(
    ("words", "data", "model"),
    [
        (BY_NAME, "", ""),
        (BY_NAME, ", weighted: true", ""),
        (IN_ORDER, ", as_lists: true", ", as_lists: true"),
        (
            BY_NAME,
            ", as_lists: true, weighted: true",
            ", as_lists: true, output_activation: [linear, sigmoid]",
        ),
        (("loss=mse",), "", ""),
    ],
)
def test_two_inputs_and_outputs_train_as_in_keras(written, words, data, model):
    built = make(written(*houses(*words, data=data, model=model), own=HOUSES, two=TWO))
    stock = keras.models.clone_model(built.step.model)
    stock.set_weights(built.step.model.get_weights())
    by_name, in_order = "metrics" in " ".join(words), bool(model)
    metrics = [["mae"], ["accuracy"]] if in_order else {"price": ["mae"], "old": ["accuracy"]}
    stock.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss=(list(LOSSES.values()) if in_order else LOSSES) if by_name else "mse",
        loss_weights=([2.0, 0.5] if in_order else {"price": 2.0, "old": 0.5}) if by_name else None,
        metrics=metrics if by_name else None,
    )
    fit = {"steps_per_epoch": 5, "epochs": 3, "verbose": 0, "shuffle": False}
    expected = stock.fit(training_batches(built.data), **fit).history
    assert {"loss", "price_loss", "old_loss"} <= set(expected)

    plan = ExecutionPlan({"train": MODES["fused_xla"], "test": MODES["fused_xla"]})
    built.step.execution.use_plan(plan)
    found = built.step.fit(training_feed(built), **fit).history
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-5, err_msg=name)


def test_the_loss_of_each_output_counts_every_row_in_every_mode(trained):
    words = houses("optimizer.learning_rate=0.0", *BY_NAME, "fit.epochs=1", data=", rows: 22")
    means = []
    for mode in ("plain", "xla", "fused_xla"):
        run = trained(*words, f"execution.mode={mode}", own=HOUSES, two=TWO)
        means.append([run.column(name)[0] for name in ("price_loss", "price_squares", "old_loss")])
        assert run.result.metrics["test_price_loss"] == pytest.approx(means[0][0], rel=1e-5)
    np.testing.assert_allclose(means, [means[0]] * 3, rtol=1e-5)


@pytest.mark.parametrize("losses", [BY_NAME, ("loss=mse",)])
def test_the_loss_of_an_output_can_be_monitored(written, losses):
    words = "checkpoint={monitor: val_old_loss}", 'expect={test_price_loss: "< 9"}'
    data = ", validation_split: 0.2"
    experiment = written(*houses(*losses, *words, data=data), own=HOUSES, two=TWO)
    built = make(experiment)
    for kind, split in (("train", "train"), ("test", "validation")):
        trace_and_check.trace(built, kind, split)
    trace_and_check.check_names(built)


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        (["metrics={price: [binary_accuracy]}"], ConfigError, "metrics.price.0: binary_accuracy"),
        (
            ["loss={price: sparse_categorical_crossentropy, old: mse}"],
            DataError,
            "y['price']",
        ),
        (["metrics={old: {name: accuracy, as: a}, price: [a]}"], ConfigError, "no metric"),
        (["loss_weights={price: 1.0}"], ConfigError, "expected one number for each loss"),
        (["loss_weights=[1.0, 1.0]"], ConfigError, "they are a list and `loss` is not"),
        (["metrics={old: [mse, mse]}"], ConfigError, "given twice"),
        (["data.class_weight={0: 2.0}"], DataError, "needs one y, and this data has y['old'] and"),
        (["model=mlp"], ConfigError, "has one input, and this data has several"),
        (["checkpoint={monitor: val_old_acuracy}"], ConfigError, "Did you mean 'val_old_accuracy'"),
    ],
)
def test_each_output_is_checked_by_itself(written, words, error, text):
    with pytest.raises(error) as caught:
        make(written(*houses(*BY_NAME), *words, own=HOUSES, two=TWO))
    assert text in str(caught.value)
