"""Names of the guide of 2020 that Keras 3 has elsewhere."""

import subprocess
import sys

import keras

from fitx.compat import legacy_names

LACKING = """
import tensorflow as tf
from tensorflow import keras
assert not hasattr(keras.losses, "mean_squared_error")
from fitx.compat import legacy_names
legacy_names.provide()
import keras as original
assert keras.losses.mean_squared_error is original.losses.mean_squared_error
"""


def test_tensorflow_still_gives_a_copy_of_keras_that_lacks_functions():
    done = subprocess.run(
        [sys.executable, "-c", LACKING], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_keras_still_resets_metrics_by_reset_state():
    legacy_names.provide()
    metric = keras.metrics.Mean()
    metric.update_state(3.0)

    metric.reset_states()

    assert float(metric.result()) == 0.0
