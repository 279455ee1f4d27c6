"""The plugin of a run that takes its time, and that waits where a test wants it to."""

import os
import sys
import time
from pathlib import Path

import keras

from fitx import callbacks, models

PACE_SECONDS = 0.005
LONGEST_SECONDS = 60


def wait(place):
    """Hold the run at a place named by $HOLD, until there is a file called `go`; not for ever."""
    end = time.monotonic() + LONGEST_SECONDS
    if os.environ.get("HOLD") == place and not Path("go").exists():
        print(f"holding {place}", file=sys.stderr, flush=True)
        while not Path("go").exists() and time.monotonic() < end:
            time.sleep(0.005)


@callbacks.register
class Lasting(keras.callbacks.Callback):
    """Lets every step take a while, and counts validations."""

    count = 0

    def get_state(self):
        return {"count": self.count}

    def set_state(self, state):
        self.count = state["count"]

    def on_train_begin(self, logs=None):
        self.count = 0

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(PACE_SECONDS)

    def on_test_begin(self, logs=None):
        self.count += 1
        wait("validation")

    def on_epoch_end(self, epoch, logs=None):
        logs["count"] = float(self.count)
        wait("epoch end")


class Slow(keras.layers.Layer):
    """What comes in goes out; writing it takes as long as a test wants."""

    def call(self, inputs):
        return inputs

    def save_own_variables(self, store):
        wait("export")


@models.register
def lasting(input_shape, outputs):
    """Return a network with everything that a state can be incomplete without."""
    wait("build")
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Dense(64, "tanh"),
            layers.Dropout(0.5),
            layers.BatchNormalization(),
            layers.GaussianNoise(0.1),
            Slow(),
            layers.Dense(64, "tanh"),
            layers.Dense(outputs),
        ]
    )
