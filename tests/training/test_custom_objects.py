"""A network with a plugin's layers is named at the start, and loads as docs/steps.md says."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

NET = '''
import keras
import tensorflow as tf
from fitx import Step, models, steps


@keras.saving.register_keras_serializable(package="mine")
class Double(keras.layers.Layer):
    def call(self, x):
        return 2.0 * x


class Scale(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer=thirds)

    def call(self, x):
        return self.scale * x


@keras.saving.register_keras_serializable(package="mine")
def thirds(shape, dtype=None):
    return tf.ones(shape, dtype) / 3.0


def half(x):
    return 0.5 * x


@models.register
def plugin(input_shape, outputs):
    """A network of what Keras has and of what it lacks."""
    dense = keras.layers.Dense(3, activation=half, kernel_initializer=thirds)
    last = keras.layers.Dense(outputs, activation="linear", bias_initializer="ones")
    return keras.Sequential([keras.Input(input_shape), Double(), Scale(), dense, last])
'''
SUBCLASS = """
import keras
from fitx import models


class Positive(keras.constraints.Constraint):
    def __call__(self, kernel):
        return keras.ops.abs(kernel)


class Net(keras.Model):
    def __init__(self, outputs, **keywords):
        super().__init__(**keywords)
        self.outputs_count = outputs
        self.dense = keras.layers.Dense(outputs, kernel_constraint=Positive())

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {"outputs": self.outputs_count}


@models.register
def plugin(input_shape, outputs):
    net = Net(outputs)
    net.build((None, *input_shape))
    return net
"""
ROOT = Path(__file__).parent.parent.parent
LOAD = """
import sys, unittest.mock
sys.modules["fitx"] = unittest.mock.MagicMock()
{}
import numpy
network = keras.saving.load_model({!r}, custom_objects=vars(plugin))
print(network.predict(numpy.ones((2, 4), "float32"), verbose=0).tobytes().hex())
"""


def test_a_plugins_layers_are_named_at_the_start_and_load_from_the_runs_source(
    tiny, trained, recording
):
    display = recording()
    run, _ = trained(tiny("model=plugin", "fit.epochs=1", plugin=NET), display)

    assert display.notes == [
        "networks/model.keras refers to Double, Scale, half, thirds of plugin.py: import that "
        "before loading it, as docs/steps.md shows"
    ]
    assert display.told.index("note") < display.told.index("epoch 1")
    file = str(run.folder / "networks" / "model.keras")
    page = (ROOT / "docs/steps.md").read_text()
    shown = re.search(r'^PYTHONPATH=(\S+) python -c "(.*)$', page, re.M)
    assert shown[1].endswith("/source")
    imports = shown[2].replace("my_net", "plugin")
    done = subprocess.run(
        [sys.executable, "-P", "-c", LOAD.format(imports, file)],
        env={"PYTHONPATH": str(run.folder / "source"), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sources = {
        name: getattr(sys.modules["fitx_plugins.plugin"], name) for name in ("Scale", "half")
    }
    network = keras.saving.load_model(file, custom_objects=sources)
    expected = network.predict(np.ones((2, 4), "float32"), verbose=0)
    assert done.stdout.strip() == expected.tobytes().hex()


def test_a_network_of_keras_own_layers_is_not_named(tiny, trained, recording):
    display = recording()
    plugin = NET.replace("Double(), Scale(), dense", "keras.layers.Dense(3, activation='gelu')")
    trained(tiny("model=plugin", "fit.epochs=1", plugin=plugin), display)

    assert display.notes == []


def test_a_network_of_a_plugins_own_class_is_named_with_all_that_it_refers_to(
    tiny, trained, recording
):
    display = recording()
    run, _ = trained(tiny("model=plugin", "fit.epochs=1", plugin=SUBCLASS), display)

    (note,) = display.notes
    assert note.startswith("networks/model.keras refers to Net of plugin.py: ")
    assert display.plan.summary.startswith("supervised: model plugin, 5 parameters; adam; ")
    sources = vars(sys.modules["fitx_plugins.plugin"])
    network = keras.saving.load_model(run.folder / "networks/model.keras", custom_objects=sources)
    assert network.count_params() == 5
