"""What is logged is the mean over examples, as stock Keras and the guide of 2020 log it.

Each experiment trains three epochs of 100 rows in batches of 32, of which the last has 4.
"""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tf_keras

from fitx.cli.display import NoDisplay
from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.datasets.digits import digits
from fitx.datasets.random import random
from fitx.experiment.check import read

L2 = "{name: l2, l2: 0.05}"
REGULARIZED = (
    "model={name: sequential, layers: [{name: dense, units: 5, activation: tanh,"
    f" kernel_regularizer: {L2}}}, {{name: dense, units: UNITS}}]}}"
)
NAMES = ("loss", "mae")


@dataclass
class Case:
    """One training, as fitx is told of it and as stock Keras is.

    Args:
        words: What changes the experiment `guide/simple`.
        arrays: What `fit` takes.
        compiled: What `compile` takes beside the optimizer.
    """

    words: tuple
    arrays: dict
    compiled: dict

    def fit(self, network, epochs=3):
        network.compile(optimizer="adam", **self.compiled)
        return network.fit(**self.arrays, epochs=epochs, shuffle=False, verbose=0).history


def regression(*words, **extra):
    data = random(seed=0, rows=100, features=6, sample_weight="sample_weight" in extra)["train"]
    arrays = {"x": data.x, "y": data.y}
    if "sample_weight" in extra:
        arrays["sample_weight"] = data.sample_weight
    is_weighted = str("sample_weight" in extra).lower()
    word = f"data={{name: random, rows: 100, features: 6, sample_weight: {is_weighted}}}"
    return Case((word, "data.shuffle=false", *words), arrays, {"loss": "mse", "metrics": ["mae"]})


def classes(tmp_path):
    data = digits()["train"]
    x, y = data.x[:100].reshape(100, -1), data.y[:100]
    np.savez(tmp_path / "digits.npz", x=x, y=y)
    weights = {**dict.fromkeys(range(10), 1.0), 0: 3.0, 4: 0.5, 9: 2.0}
    words = (
        f"data={{name: npz, path: {tmp_path / 'digits.npz'}}}",
        "data.shuffle=false",
        "data.class_weight={0: 3.0, 4: 0.5, 9: 2.0}",
        "loss={name: sparse_categorical_crossentropy, from_logits: true}",
        "metrics=[sparse_categorical_accuracy]",
        "weighted_metrics=[sparse_categorical_accuracy, sparse_top_k_categorical_accuracy]",
        REGULARIZED.replace("UNITS", "10"),
    )
    metrics = ["sparse_categorical_accuracy", "sparse_top_k_categorical_accuracy"]
    compiled = {"metrics": metrics[:1], "weighted_metrics": metrics}
    return Case(words, {"x": x, "y": y, "class_weight": weights}, compiled)


def same(values):
    return pytest.approx(values, rel=1e-6)


def columns(history, names):
    return [list(history[name]) for name in names]


def logged(ours, names):
    return [[row[name] for row in ours.rows] for name in names]


def twin(cls, network):
    """The guide's class of 2020 around a network like one of Keras 3, with its weights."""
    inputs = tf_keras.Input(network.input_shape[1:])
    output = inputs
    for layer in network.layers:
        kernel = tf_keras.regularizers.L2(0.05) if layer.kernel_regularizer else None
        activation = keras.activations.serialize(layer.activation)
        output = tf_keras.layers.Dense(layer.units, activation, kernel_regularizer=kernel)(output)
    model = cls(inputs, output)
    model.set_weights(network.get_weights())
    return model


CASES = {
    "plain": lambda: regression("model=linear"),
    "regularized": lambda: regression(REGULARIZED.replace("UNITS", "1")),
    "weighted": lambda: regression(REGULARIZED.replace("UNITS", "1"), sample_weight=True),
}


@pytest.mark.parametrize("name", CASES)
def test_a_training_logs_what_fit_of_both_keras_logs(name, run, untrained, guide_2020):
    case = CASES[name]()
    network = untrained("guide/simple", *case.words).network()
    cls = guide_2020.Weighted if "sample_weight" in case.arrays else guide_2020.Simple
    of_2020 = case.fit(twin(cls, network))
    stock = case.fit(network)

    ours = run("guide/simple", *case.words)

    assert [row["step"] for row in ours.rows] == [4, 8, 12]
    assert logged(ours, NAMES) == [same(values) for values in columns(stock, NAMES)]
    assert logged(ours, NAMES) == [same(values) for values in columns(of_2020, NAMES)]
    for own, other in zip(ours.network().get_weights(), network.get_weights(), strict=True):
        assert np.array_equal(own, other)


def test_class_weights_enter_the_loss_and_the_weighted_metrics(
    run, untrained, guide_2020, tmp_path
):
    case = classes(tmp_path)
    network = untrained("guide/simple", *case.words).network()
    loss = "SparseCategoricalCrossentropy"
    case.compiled["loss"] = getattr(tf_keras.losses, loss)(from_logits=True)
    of_2020 = case.fit(twin(guide_2020.Weighted, network))
    case.compiled["loss"] = getattr(keras.losses, loss)(from_logits=True)
    stock = case.fit(network)

    ours = run("guide/simple", *case.words)

    plain, top = case.compiled["weighted_metrics"]
    names = ("loss", plain, f"weighted_{plain}", top)
    assert [name for name in ours.rows[0] if name in names] == list(names)
    assert logged(ours, names) == [same(values) for values in columns(stock, names)]
    # The text of 2020 feeds both kinds of metrics; tf_keras shows one of two that have one name.
    assert logged(ours, ("loss", top)) == [same(v) for v in columns(of_2020, ("loss", top))]
    for own, other in zip(ours.network().get_weights(), network.get_weights(), strict=True):
        assert np.array_equal(own, other)


def test_the_low_level_step_logs_what_the_text_of_2020_logs(run, untrained, guide_2020):
    case = regression()
    words = (*case.words, "fit.epochs=1", "optimizer={name: sgd, learning_rate: 0.0}")
    model = twin(guide_2020.LowLevel, untrained("guide/low_level", *words).network())
    model.compile(tf_keras.optimizers.SGD(0.0))
    of_2020 = model.fit(**case.arrays, verbose=0).history

    ours = run("guide/low_level", *words)

    assert logged(ours, NAMES) == [same(values) for values in columns(of_2020, NAMES)]


def test_the_text_of_2020_descends_the_sum_over_the_batch_and_low_level_the_mean(
    run, untrained, guide_2020
):
    case = regression()
    words = (*case.words, "data.batch_size=25", "fit.epochs=2")
    rate = "optimizer={name: sgd, learning_rate: 0.5}"
    model = twin(guide_2020.LowLevel, untrained("guide/low_level", *words, rate).network())
    model.compile(tf_keras.optimizers.SGD(0.5 / 25))
    of_2020 = model.fit(**case.arrays, batch_size=25, epochs=2, shuffle=False, verbose=0).history

    ours = run("guide/low_level", *words, rate)

    assert logged(ours, NAMES) == [
        pytest.approx(values, rel=1e-5) for values in columns(of_2020, NAMES)
    ]


@pytest.mark.parametrize("optimizer", [(), ("optimizer=adam",)], ids=["untrained", "optimizer"])
def test_an_evaluation_prints_the_same_for_every_size_of_batch(optimizer, untrained, guide_2020):
    case = regression(REGULARIZED.replace("UNITS", "1"))
    network = untrained("guide/simple", *case.words).network()
    stock, of_2020 = network, twin(guide_2020.Evaluation, network)
    expected = []
    for model in (stock, of_2020):
        model.compile(**case.compiled)
        expected.append(model.evaluate(**case.arrays, verbose=0, return_dict=True))
    words = (*case.words, *optimizer)

    for size in (32, 40, 99, 100):
        experiment = read("guide/evaluation", [*words, f"data.batch_size={size}"])
        ours = evaluate(experiment, EvaluationRequest(), NoDisplay()).metrics
        assert [ours, ours] == [same(values) for values in expected]
