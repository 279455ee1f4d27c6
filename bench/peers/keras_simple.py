"""The guide's first three programs by hand in stock Keras: python keras_simple.py NAME ROWS

NAME is simple, low_level or weighted, timed by the epoch of `fit`; or evaluate, timed by the
call. Epochs but the first of each `fit` count.
"""

import os
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from turns import serve, timed


class Simple(keras.Model):
    """The guide's first and third: the compiled loss, with sample weights if there are any."""

    def train_step(self, data):
        """Take one descent step."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=sample_weight)
        trainable = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, trainable), trainable)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred, sample_weight=sample_weight)
        return {m.name: m.result() for m in self.metrics}


class LowLevel(keras.Model):
    """The guide's second: a loss and metrics of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.mae_metric = keras.metrics.MeanAbsoluteError(name="mae")
        self.loss_fn = keras.losses.MeanSquaredError()

    def train_step(self, data):
        """Take one descent step."""
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.loss_fn(y, y_pred)
        trainable = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, trainable), trainable)
        self.loss_tracker.update_state(loss)
        self.mae_metric.update_state(y, y_pred)
        return {"loss": self.loss_tracker.result(), "mae": self.mae_metric.result()}

    @property
    def metrics(self):
        """Return the metrics that are reset at the start of each epoch."""
        return [self.loss_tracker, self.mae_metric]


class EpochClock(keras.callbacks.Callback):
    """Notes how long each epoch takes."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        """Start."""
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Stop."""
        self.seconds.append(time.perf_counter() - self.began)


def main() -> None:
    """Build, and train or evaluate whenever it is asked for."""
    name, rows = sys.argv[1], int(sys.argv[2])
    inputs = keras.Input(shape=(32,))
    outputs = keras.layers.Dense(1)(inputs)
    if name == "low_level":
        model = LowLevel(inputs, outputs)
        model.compile(optimizer="adam")
    else:
        model = Simple(inputs, outputs)
        model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    random = np.random.default_rng(0)
    x, y = (random.random((rows, n), dtype=np.float32) for n in (32, 1))
    weights = random.random((rows, 1), dtype=np.float32) if name == "weighted" else None

    def evaluate() -> float:
        return timed(lambda: model.evaluate(x, y, batch_size=32, verbose=0))

    def epoch() -> float:
        clock = EpochClock()
        model.fit(
            x, y, sample_weight=weights, batch_size=32, epochs=2, verbose=0, callbacks=[clock]
        )
        return clock.seconds[1]

    serve(evaluate if name == "evaluate" else epoch)


if __name__ == "__main__":
    main()
