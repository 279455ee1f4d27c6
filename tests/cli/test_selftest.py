"""The `fitx selftest` command, on steps and callbacks of a user's own."""

import json
import os
import signal
import subprocess
import time

import pytest

OWN = '''
import keras
import tensorflow as tf
from fitx import Step, callbacks, steps


@steps.register
class Own(Step):
    """Descends with noise, and counts what it has seen."""

    def __init__(self, model):
        super().__init__(model=model)
        self.seen = tf.Variable(0, name="seen")
        self.signs = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 1.0)
        self.noise = keras.random.SeedGenerator(3)

    def train_step(self, data):
        x, y = data
        self.seen.assign_add(tf.shape(x)[0])
        sign = tf.where(x[:1, 0] > 0, "plus", "minus")
        self.signs.insert(sign, self.signs.lookup(sign) * 1.5)
        noise = self.signs.lookup(sign) * keras.random.normal(tf.shape(y), seed=self.noise)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(x, training=True) - y + 0.1 * noise))
        self.minimize(loss, tape, "model")
        return {"loss": loss, "seen": tf.cast(self.seen, "float32")}
'''
MOODY = '''
import time
import keras
from fitx import callbacks


@callbacks.register
class Moody(keras.callbacks.Callback):
    """Lets the learning rate follow what it remembers."""

    mood = 0

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.05)  # The kill comes in time.
        self.mood += 1
        self.model.optimizer.learning_rate = 0.01 / self.mood
'''
TINY = """
plugins: [own.py]
step: own
model: linear
optimizer: {name: adam, learning_rate: 0.01}
data: {name: random, rows: 48, features: 4, batch_size: 8}
fit: {epochs: 2}
expect: {loss: "< 0"}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("selftest")
    (folder / "own.py").write_text(OWN)
    (folder / "moody.py").write_text(MOODY)
    (folder / "own.yaml").write_text(TINY)
    (folder / "moody.yaml").write_text(
        "extends: own.yaml\nplugins: [own.py, moody.py]\ncallbacks: [moody]\n"
    )
    (folder / "temporary").mkdir()
    return folder


@pytest.fixture(scope="module")
def tried(folder, launch):
    """The self-tests of an experiment that resumes exactly and of one that does not."""
    command = ("selftest", "resume")
    options = {"env": {"TMPDIR": str(folder / "temporary")}}
    exact = launch(folder, *command, "own.yaml", "--stops", "1", "--seed", "4", **options)
    inexact = launch(
        folder, *command, "moody.yaml", "--stops=1", "--seed=2", "--json", "-q", **options
    )
    return exact.result(), inexact.result()


def test_a_step_that_keeps_its_state_in_variables_and_tables_is_exact(tried, folder):
    done, _ = tried
    assert done.code == 0, done.err
    first, second, third = done.err.splitlines()
    assert first == "own: training 2 epochs, once straight and once interrupted"
    assert second == "straight: 12 steps, mode plain"
    interruption, step = third.split(" after step ")
    # On a busy machine the kill may come too late.
    assert interruption in ("interrupted: killed between two epochs,", "interrupted: stopped")
    assert done.out.startswith("exact: all ")
    assert done.out.endswith(f" are equal to the bit; interrupted at step {step}\n")
    assert not (folder / "runs").exists()


def test_a_callback_without_get_state_is_not_exact(tried, folder):
    _, done = tried
    assert done.code == 6, done.err
    report = done.json
    assert (report["exact"], report["code"]) == (False, 6)
    assert report["differences"][0].startswith("networks/model/")
    assert report["error"] == done.err.rstrip("\n")
    assert report["unreproducible"] is None
    assert report["error"].startswith("not exact: the training ends differently if ")
    (kept,) = (folder / "temporary").iterdir()
    assert report["kept"] == str(kept)
    assert f"The runs are kept in {kept}." in report["error"].splitlines()
    assert "To repeat this, add --seed 2." in report["error"].splitlines()


def test_an_error_in_the_experiment_is_reported_as_by_train(folder, fitx):
    done = fitx(folder, "selftest", "resume", "own.yaml", "fit.epoch=3", "--json")
    assert done.code == 2
    assert done.json["problems"][0]["key"] == "fit.epoch"
    assert done.err == f"{done.json['error']}\n"


def test_an_unknown_test_is_refused(folder, fitx):
    done = fitx(folder, "selftest", "resme", "own.yaml")
    assert done.code == 2
    assert "No such command 'resme'. Did you mean 'resume'?" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_training_and_leaves_no_files(
    folder, fitx_command, environment, tmp_path, number
):
    process = subprocess.Popen(
        [*fitx_command, "selftest", "resume", "own.yaml", "fit.epochs=1000000", "--epochs=1000000"],
        cwd=folder,
        env={**environment, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        child = _child(process.pid)
        process.send_signal(number)
        _, said = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert said.splitlines()[-1] == f"stopped by {number.name}."
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def _child(pid):
    """Wait for the first child of a process; return its id."""
    for _ in range(1000):
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = file.read().split()
        if children:
            return int(children[0])
        time.sleep(0.01)
    raise AssertionError("the process started none")


def test_the_report_is_one_object_of_json(tried):
    _, done = tried
    assert json.loads(done.out)["interruptions"][0]["killed"] is True
