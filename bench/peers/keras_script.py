"""The script that replaces fitx for guide/simple: the guide's program, made a script.

It trains the same network on data of the same size, shows no progress, saves the network and
writes the values of every epoch.
"""

import json
import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf


class CustomModel(keras.Model):
    """A model with a train step of its own."""

    def train_step(self, data):
        """Take one descent step."""
        x, y = data
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
        trainable = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, trainable), trainable)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return {m.name: m.result() for m in self.metrics}


def main() -> None:
    """Train, save, write down."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape=(32,))
    model = CustomModel(inputs, keras.layers.Dense(1)(inputs))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    x, y = np.random.random((1000, 32)), np.random.random((1000, 1))
    history = model.fit(x, y, epochs=3, verbose=0)
    keras.Model(model.inputs, model.outputs).save("model.keras")
    with open("metrics.json", "w") as file:
        json.dump(history.history, file)


if __name__ == "__main__":
    main()
