"""Everything random follows from the seed, also what plugins do when they are imported."""

import json

import pytest

PLUGIN = '''
import random
import sys
import keras
import numpy as np
import tensorflow as tf
from fitx import datasets, Split

drawn = [random.random(), float(np.random.rand()), float(keras.random.uniform(()))]
drawn += [float(tf.random.uniform(())), *{f"word {n}" for n in range(20)}]
# What starts TensorFlow, after which it keeps its threads and devices.
layer = keras.layers.Dense(2)
layer.build((None, 3))
drawn.append(float(layer.kernel[0, 0]))
print("drawn:", drawn, len(tf.config.list_logical_devices("CPU")), file=sys.stderr)


@datasets.register
def drawing(*, rows: int = 64):
    """Return fixed numbers."""
    x = np.arange(8 * rows, dtype="float32").reshape(rows, 8) / rows
    return {"train": Split(x, x[:, :1])}
'''
EXPERIMENT = """
seed: 3
plugins: [drawing.py]
step: supervised
model: linear
optimizer: adam
loss: mse
data: {name: drawing}
fit: {epochs: 1}
execution: {device: cpu, threads: 1}
"""
DEVICES = ("execution.strategy=mirrored", "execution.virtual_devices=2")


@pytest.fixture(scope="module")
def done(tmp_path_factory, fitx, launch):
    """Commands that import the plugin; the runs lie beside a folder called latest."""
    folder = tmp_path_factory.mktemp("seed")
    (folder / "drawing.py").write_text(PLUGIN)
    (folder / "mine.yaml").write_text(EXPERIMENT)
    (folder / "runs/mine/latest").mkdir(parents=True)
    other = launch(folder, "train", "mine.yaml", "seed=4", "--out", "other", *DEVICES)
    trained = fitx(folder, "train", "mine.yaml", "--json")
    evaluated = launch(folder, "evaluate", "mine", "--json")
    resumed = fitx(folder, "resume", "mine", "fit.epochs=2", "--json")
    return {
        "train": trained,
        "evaluate": evaluated.result(),
        "resume": resumed,
        "other": other.result(),
    }


def drawn(done):
    """Return what the plugin drew, and on how many devices."""
    (line,) = (line for line in done.err.splitlines() if line.startswith("drawn: "))
    numbers, devices = line.removeprefix("drawn: ").rsplit(" ", 1)
    return numbers, int(devices)


def test_plugins_that_start_tensorflow_may_use_any_threads_and_devices(done):
    assert {name: one.code for name, one in done.items()} == dict.fromkeys(done, 0)
    assert (drawn(done["train"])[1], drawn(done["other"])[1]) == (1, 2)


def test_training_resuming_and_evaluating_draw_the_same_at_import(done):
    first = drawn(done["train"])
    assert drawn(done["resume"]) == drawn(done["evaluate"]) == first


def test_another_seed_draws_all_of_it_anew(done):
    first, other = (
        json.loads(drawn(done[name])[0].replace("'", '"')) for name in ("train", "other")
    )
    assert len(first) == len(other) == 25
    assert all(a != b for a, b in zip(first[:4], other[:4], strict=True))
    assert first[-1] != other[-1]
    assert first[4:-1] != other[4:-1]
    assert sorted(first[4:-1]) == sorted(other[4:-1])


def test_a_folder_called_latest_keeps_no_run_from_its_end_and_is_told(done):
    assert "runs/mine/latest is not a link, and is left unchanged; " in done["train"].err
    assert done["train"].json["run"] == done["evaluate"].json["run"] == done["resume"].json["run"]
