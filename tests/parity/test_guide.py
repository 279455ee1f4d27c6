"""fitx logs what the guide's own code logs under stock Keras, for each of its five programs.

All batches are full: the guide's text for Keras 3 logs the mean of the batches' losses, and fitx
the mean over examples, as `test_means.py` says.
"""

import keras
import numpy as np
import pytest

from fitx.cli.display import NoDisplay
from fitx.commands.evaluate import EvaluationRequest, evaluate
from fitx.datasets.digits import digits
from fitx.datasets.random import random
from fitx.experiment.check import read

ROWS = "data.rows=992"
"""31 batches of 32."""


def same(values):
    return pytest.approx(values, rel=1e-5)


def stock(cls, network):
    """The guide's class around a network, as the guide builds it."""
    return cls(network.inputs, network.outputs)


def curve(history, *names):
    return [
        values[i] for i in range(len(history.epoch)) for values in map(history.history.get, names)
    ]


def imbalanced(path):
    """Digits of which the 8 and the 9 are rare, as arrays and as a file."""
    train = digits()["train"]
    rare = np.isin(train.y, (8, 9))
    kept = ~rare | (np.cumsum(rare) % 10 == 0)
    x, y = train.x[kept][:480], train.y[kept][:480]
    np.savez(path, x=x, y=y)
    return x, y


def test_simple(guide, run, untrained):
    data = random(seed=0, rows=992)["train"]
    model = stock(guide.Simple, untrained("guide/simple", ROWS).network())
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    history = model.fit(data.x, data.y, epochs=3, shuffle=False, verbose=0)

    ours = run("guide/simple", ROWS)

    assert [row["step"] for row in ours.rows] == [31, 62, 93]
    assert ours.values("loss", "mae") == same(curve(history, "loss", "mae"))


def test_low_level(guide, run, untrained):
    data = random(seed=0, rows=992)["train"]
    model = stock(guide.LowLevel, untrained("guide/low_level", ROWS).network())
    model.compile(optimizer="adam")
    history = model.fit(data.x, data.y, epochs=5, shuffle=False, verbose=0)

    assert run("guide/low_level", ROWS).values("loss", "mae") == same(curve(history, "loss", "mae"))


def test_weighted(guide, run, untrained):
    data = random(seed=0, rows=992, sample_weight=True)["train"]
    model = stock(guide.Weighted, untrained("guide/weighted", ROWS).network())
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    weight = data.sample_weight
    history = model.fit(data.x, data.y, sample_weight=weight, epochs=3, shuffle=False, verbose=0)

    assert weight.shape == (992, 1)
    assert run("guide/weighted", ROWS).values("loss", "mae") == same(curve(history, "loss", "mae"))


def test_class_weight(guide, run, untrained, tmp_path):
    x, y = imbalanced(tmp_path / "digits.npz")
    weights = {0: 1.0, 8: 4.0, 9: 4.0}
    words = (
        f"data={{name: npz, path: {tmp_path / 'digits.npz'}}}",
        "data.shuffle=false",
        "fit.epochs=4",
    )
    words += ("data.class_weight={0: 1.0, 8: 4.0, 9: 4.0}",)
    model = stock(guide.Weighted, untrained("guide/class_weight", *words).network())
    accuracy = "sparse_categorical_accuracy"
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=[accuracy])
    history = model.fit(x, y, class_weight=weights, epochs=4, shuffle=False, verbose=0)

    ours = run("guide/class_weight", *words)

    assert ours.values("loss", accuracy) == same(curve(history, "loss", accuracy))


def test_evaluation(guide, untrained):
    data = random(seed=0, rows=992)["train"]
    model = stock(guide.Evaluation, untrained("guide/evaluation", ROWS, "optimizer=adam").network())
    model.compile(loss="mse", metrics=["mae"])
    theirs = model.evaluate(data.x, data.y, verbose=0, return_dict=True)

    ours = evaluate(read("guide/evaluation", [ROWS]), EvaluationRequest(), NoDisplay())

    assert ours.split == "train"
    assert ours.metrics == same(theirs)


def test_gan(guide, run, untrained, tmp_path):
    x = digits(image_size=28)["train"].x[:48]
    np.savez(tmp_path / "digits.npz", x=x)
    words = f"data={{name: npz, path: {tmp_path / 'digits.npz'}, batch_size: 16}}", "~callbacks"
    before = untrained("guide/gan", *words)
    gan = guide.GAN(before.network("discriminator"), before.network("generator"))
    gan.compile(keras.optimizers.Adam(3e-4), keras.optimizers.Adam(3e-4))
    history = gan.fit(x, batch_size=16, epochs=3, shuffle=False, verbose=0)

    ours = run("guide/gan", *words, "data.shuffle=false", "fit.epochs=3")

    assert ours.values("d_loss", "g_loss") == same(curve(history, "d_loss", "g_loss"))
