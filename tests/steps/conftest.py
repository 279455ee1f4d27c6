import keras
import numpy as np
import pytest


@pytest.fixture
def moves():
    """Tell, for each of some networks, whether one call changed any of its weights."""

    def moves(call, *networks):
        before = [[np.array(w) for w in network.get_weights()] for network in networks]
        call()
        return [
            any(not np.array_equal(b, a) for b, a in zip(old, network.get_weights(), strict=True))
            for old, network in zip(before, networks, strict=True)
        ]

    return moves


@pytest.fixture
def dense():
    """A network of one dense layer on three numbers."""

    def dense(units=1, features=3, **options):
        return keras.Sequential([keras.Input((features,)), keras.layers.Dense(units, **options)])

    return dense
