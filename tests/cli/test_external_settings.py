import json

import pytest

from fitx.experiment.check import read
from fitx.external_settings import overridden_variables

EXPERIMENT = """
name: small
plugins: [watch.py]
callbacks: [watch]
model:
  name: sequential
  layers:
    - {name: conv2d, filters: 2, kernel_size: 3, activation: relu}
    - batch_normalization
    - flatten
    - {name: dense, units: 10, activation: softmax}
step: supervised
optimizer: adam
loss: sparse_categorical_crossentropy
data: {name: digits, batch_size: 256}
fit: {epochs: 2}
"""
WATCH = '''
import keras
from fitx import callbacks

keras.config.set_epsilon(1e-4)


@callbacks.register
class Watch(keras.callbacks.Callback):
    """Tell what holds in a training."""

    stateless = True

    def on_train_begin(self, logs=None):
        print("epsilon", keras.config.epsilon(), "of", keras.config.floatx())
'''
VARIABLES = {
    "KERAS_BACKEND": "jax",
    "KERAS_MAX_EPOCHS": "1",
    "KERAS_MAX_STEPS_PER_EPOCH": "2",
    "KERAS_NNX_ENABLED": "1",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_FUNCTION_JIT_COMPILE_DEFAULT": "1",
    "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": "1",
    "AUTOGRAPH_STRICT_CONVERSION": "yes",
    "AUTOGRAPH_VERBOSITY": "loud",
}
FILE = {
    "floatx": "float64",
    "epsilon": 0.5,
    "image_data_format": "channels_first",
    "backend": "torch",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    (folder / "small.yaml").write_text(EXPERIMENT)
    (folder / "watch.py").write_text(WATCH)
    for name, settings in {"other": FILE, "broken": {"epsilon": 1}, "none": {}}.items():
        (folder / name).mkdir()
        (folder / name / "keras.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def runs(folder, launch):
    """One experiment trained with and without settings outside of it."""
    home = {"KERAS_HOME": str(folder / "other")}
    return {
        "without": launch(folder, "train", "small.yaml", "--json", "--out", "without"),
        "with": launch(folder, "train", "small.yaml", "--json", env={**VARIABLES, **home}),
    }


def values(done):
    assert done.code == 0, done.err
    return done.json["metrics"]


def test_settings_outside_of_an_experiment_change_no_bit(runs):
    assert values(runs["with"].result()) == values(runs["without"].result())


def test_what_a_plugin_sets_holds(runs):
    assert "epsilon 0.0001 of float32\n" in runs["with"].result().err


def test_a_training_names_the_variables_that_it_does_not_use(runs):
    heard = runs["with"].result().err
    for name, value in VARIABLES.items():
        assert f"{name}={value} in the environment is ignored" in heard
    assert "in the environment" not in runs["without"].result().err


def test_a_run_is_evaluated_and_goes_on_without_them_too(folder, runs, fitx):
    trained = values(runs["without"].result())
    (run,) = folder.glob("without/small/2*")
    asked = fitx(folder, "evaluate", run, "--json", env=VARIABLES)
    assert values(asked)["loss"] == trained["test_loss"]
    assert "KERAS_MAX_STEPS_PER_EPOCH=2 in the environment is ignored" in asked.err
    longer = fitx(folder, "resume", run, "fit.epochs=3", "--json", env=VARIABLES)
    assert values(longer)["loss"] != trained["loss"]
    assert "KERAS_MAX_EPOCHS=1 in the environment is ignored" in longer.err
    assert json.loads((run / "summary.json").read_text())["epochs"] == 3


def test_doctor_names_what_is_overridden_whatever_stands_in_keras_file(folder, fitx):
    home = str(folder / "broken")
    done = fitx(
        folder, "doctor", "--json", env={"KERAS_HOME": home, "KERAS_MAX_EPOCHS": "\x1b[2Jall"}
    )
    assert done.code == 0
    assert done.json["overridden"] == [
        "KERAS_MAX_EPOCHS=\x1b[2Jall",
        f"epsilon=1 in {home}/keras.json",
    ]
    assert done.json["datasets"] == f"{home}/datasets"


def test_doctor_shows_an_overridden_setting_without_control_characters(folder, fitx):
    home = str(folder / "none")
    env = {"KERAS_HOME": home, "KERAS_MAX_EPOCHS": "\x1b[2J\n1", "PYTHONPATH": str(folder / "none")}
    (folder / "none/tensorflow.py").write_text("raise ImportError('not needed here')")
    lines = fitx(folder, "doctor", env=env).out.splitlines()
    settings = [line.split(maxsplit=1)[1] for line in lines if line.startswith("overridden")]
    assert settings == [r"KERAS_MAX_EPOCHS=\x1b[2J\n1"]


def test_what_decides_how_the_hardware_computes_is_recorded_and_judged(folder, runs, fitx):
    values(runs["without"].result())
    (run,) = folder.glob("without/small/2*")
    tuned = {"TF_CUDNN_USE_AUTOTUNE": "0"}
    done = fitx(folder, "resume", run, "fit.epochs=3", env=tuned)
    assert done.code == 2
    assert "variables.TF_CUDNN_USE_AUTOTUNE: not set -> 0" in done.err


def test_an_experiment_may_ask_for_a_variable_that_does_not_count_by_itself(tmp_path, monkeypatch):
    monkeypatch.setitem(overridden_variables, "KERAS_MAX_EPOCHS", "7")
    (tmp_path / "my.yaml").write_text("extends: guide/simple\n")
    experiment = read(str(tmp_path / "my.yaml"), ["fit.epochs=${env:KERAS_MAX_EPOCHS:1}"])
    assert experiment.fit.epochs == 7
