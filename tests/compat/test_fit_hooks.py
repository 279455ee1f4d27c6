"""How Keras' fit asks for an epoch's values, and by which strategy it distributes data."""

import keras
import numpy as np
import tensorflow as tf

X = np.ones((4, 1), "float32")


class Asked(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def _get_metrics_result_or_logs(self, logs):
        return {"asked": 7.0}


def test_keras_still_asks_for_an_epochs_values_by_get_metrics_result_or_logs():
    model = Asked()
    model.compile(optimizer="sgd", loss="mse")
    validation = (X, X)

    history = model.fit(X, X, epochs=2, verbose=0, validation_data=validation).history

    assert history == {"asked": [7.0, 7.0], "val_asked": [7.0, 7.0]}
    assert model.evaluate(X, X, verbose=0, return_dict=True) == {"asked": 7.0}


def test_keras_still_distributes_data_by_the_strategy_of_the_model():
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        model = Asked()

    assert model.distribute_strategy is strategy
    model._distribute_strategy = None
    assert model.distribute_strategy is tf.distribute.get_strategy()
