"""Plugins that would lead nowhere are refused by name; those that work are let through."""

import pytest

from .dead_ends import Shell, step

FITS = """
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = {loss}
        self.minimize(loss, tape, "model")
        return {{"loss": loss}}
"""
OWN = "tf.reduce_mean((self(x, training=True) - y) ** 2)"
RAW = FITS.format(loss=OWN)
MEASURED = """
    def test_step(self, data):
        return {"loss": tf.reduce_mean(self(data[0]) - data[1])}
"""
APPLY = (
    "self.optimizer.apply(tape.gradient(loss, variables := self.trainable_variables), variables)"
)
UNSCALED = RAW.replace('self.minimize(loss, tape, "model")', APPLY)
COMPUTED = """
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return tf.reduce_mean(tf.abs(y - y_pred))
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, capfd):
    return Shell(tmp_path, monkeypatch, capfd)


@pytest.mark.parametrize(
    ("body", "words", "logged"),
    [
        (
            "def train_step(self, data):\n    return super().train_step(data)",
            ["loss=mse", "metrics=[mae]"],
            {"loss", "mae"},
        ),
        ("pass", ["loss=mse", "metrics=[mae]"], {"loss", "mae"}),
        (FITS.format(loss="self.loss(y, self(x, training=True))"), ["loss=mse"], {"loss"}),
        (
            "def train_step(self, data):\n    return fitted(self, data)",
            ["loss=mse", "metrics=[mae]"],
            {"loss", "mae"},
        ),
        (COMPUTED, [], {"loss"}),
        (COMPUTED, ["metrics=[mae]"], {"loss", "mae"}),
        (RAW, [], {"loss"}),
        (RAW, ["loss=mse"], {"loss"}),
        (RAW, ["loss=mse", "data.validation_split=0.5"], {"loss", "val_loss"}),
        (UNSCALED, [], {"loss"}),
    ],
)
def test_a_step_takes_loss_and_metrics_in_any_way_that_keras_knows(shell, body, words, logged):
    fitted = "def fitted(step, data):\n    return keras.Model.train_step(step, data)\n\n\n"
    shell.write(fitted + step(body))
    words = ["own.yaml", *words]

    checked, trained = shell.fitx("check", *words), shell.fitx("train", *words)

    assert (checked.code, trained.code) == (0, 0), checked.err + trained.err
    assert {line.split()[0] for line in trained.out.splitlines()} == {*logged, "run:"}


@pytest.mark.parametrize(
    ("body", "words", "text"),
    [
        (
            RAW + MEASURED,
            ["loss=mse"],
            "loss: step 'own' takes no loss: it computes its own; remove the key.",
        ),
        (
            COMPUTED,
            ["loss=mse"],
            "loss: step 'own' takes no loss: it computes its own; remove the key.",
        ),
        (
            RAW,
            ["metrics=[mae]"],
            "metrics: step 'own' takes no metrics: it keeps its own; remove the key.",
        ),
        ("pass", [], "loss: missing; step 'own' computes it, for example `loss: mse`."),
        (
            FITS.format(loss="self.compute_loss(y=y, y_pred=self(x))"),
            [],
            "loss: missing; step 'own' computes it, for example `loss: mse`.",
        ),
        (
            "pass",
            ["loss=mse", "callbacks=[{name: early_stopping, monitor: val_los, mode: min}]"],
            "callbacks.0.monitor: 'val_los' is not logged; logged is loss.",
        ),
        ("pass", ["loss=mse", "expect={mae: '< 1'}"], "expect.mae: 'mae' is not logged;"),
        (
            RAW,
            ["data.validation_split=0.5"],
            "data.validation_split: has no effect: step 'own' has no test_step,",
        ),
        (
            RAW,
            ["fit.validation_freq=2"],
            "fit.validation_freq: has no effect: step 'own' has no test_step, so nothing is "
            "validated; write a test_step, or remove the key.",
        ),
        (RAW, ["fit.validation_steps=2"], "fit.validation_steps: has no effect: step 'own' has no"),
        (
            UNSCALED,
            ["execution.precision=mixed_float16"],
            "execution.precision: float16 needs a scaled loss: let the step call "
            "self.minimize(loss, tape, network), or write mixed_bfloat16.",
        ),
        (
            UNSCALED,
            ["optimizer.loss_scale_factor=1024"],
            "optimizer.loss_scale_factor: the optimizer divides by it, and the step does not "
            "multiply: let the step call self.minimize(loss, tape, network).",
        ),
    ],
)
def test_a_key_without_effect_is_refused_before_a_run_folder_exists(shell, body, words, text):
    shell.write(step(body))

    answer = shell.fitx("train", "own.yaml", *words)

    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err
    assert not shell.runs
