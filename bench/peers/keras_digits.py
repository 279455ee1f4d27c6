"""The script that replaces fitx for configs/digits.yaml: python keras_digits.py [mlp]

Without a word: the whole script, a convnet for 15 epochs, measured on the test set and saved.
With `mlp`: a small dense network, timed by the epoch, with validation and early stopping.
"""

import json
import os
import statistics
import sys
import time
from importlib.resources import files
from itertools import pairwise

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from keras import layers
from turns import serve


def main() -> None:
    """Train as the word on the command line says."""
    keras.utils.set_random_seed(7)
    train, validation, test = data()
    if sys.argv[1:] == ["mlp"]:
        serve(lambda: epoch_seconds(train, validation))
        return
    model = compiled(
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.2),
    )
    best = keras.callbacks.ModelCheckpoint("best.keras", monitor="val_loss", save_best_only=True)
    history = fit(model, train, validation, 15, [best])
    measured = model.evaluate(*test, verbose=0, return_dict=True)
    model.save("last.keras")
    with open("metrics.json", "w") as file:
        json.dump({**history.history, "test": measured}, file)


def data():
    """Return the rows to train, to validate and to test on."""
    with np.load(str(files("fitx.datasets") / "digits.npz")) as arrays:
        x, y = arrays["images"].astype("float32")[..., None] / 16, arrays["labels"].astype("int32")
    order = np.random.default_rng(0).permutation(len(x))
    return [(x[rows], y[rows]) for rows in np.split(order, [1293, 1437])]


def compiled(*hidden):
    """Return a classifier of digits."""
    model = keras.Sequential([keras.Input((8, 8, 1)), *hidden, layers.Dense(10, "softmax")])
    adam = keras.optimizers.Adam(2e-3)
    metrics = ["sparse_categorical_accuracy"]
    model.compile(optimizer=adam, loss="sparse_categorical_crossentropy", metrics=metrics)
    return model


def fit(model, train, validation, epochs, callbacks):
    """Train without showing anything."""
    return model.fit(
        *train,
        batch_size=64,
        epochs=epochs,
        validation_data=validation,
        callbacks=callbacks,
        verbose=0,
    )


def epoch_seconds(train, validation) -> float:
    """Return the median time from one epoch's end to the next one's."""
    keras.backend.clear_session()
    model = compiled(layers.Flatten(), *(layers.Dense(64, "relu") for _ in range(2)))
    stopping = keras.callbacks.EarlyStopping(monitor="val_loss", patience=1000)
    ends = EpochEnds()
    fit(model, train, validation, 22, [stopping, ends])
    return statistics.median(b - a for a, b in pairwise(ends.times[1:]))


class EpochEnds(keras.callbacks.Callback):
    """Notes when epochs end."""

    def __init__(self):
        super().__init__()
        self.times = []

    def on_epoch_end(self, epoch, logs=None):
        """Note it."""
        self.times.append(time.perf_counter())


if __name__ == "__main__":
    main()
