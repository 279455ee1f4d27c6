"""Keras' automatic names of layers."""

import keras

from fitx.compat.layer_names import number_anew


def test_keras_still_numbers_layers_from_where_it_is_reset():
    number_anew()
    names = [keras.layers.Dense(1).name for _ in range(2)]
    number_anew()

    assert names == ["dense", "dense_1"]
    assert keras.layers.Dense(1).name == "dense"
