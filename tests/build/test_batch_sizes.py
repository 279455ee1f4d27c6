"""Networks of a fixed batch size, against the batches of every split."""

import numpy as np
import pytest

from fitx.build.make import make
from fitx.experiment.problems import ConfigError

FIXED = """
    import keras
    from fitx import models


    @models.register
    def fixed(input_shape, outputs, *, stateful: bool = True):
        inputs = keras.Input(input_shape, batch_size=8)
        last = keras.layers.LSTM(3, stateful=stateful)(inputs) if stateful else inputs
        return keras.Model(inputs, keras.layers.Dense(outputs)(keras.layers.Flatten()(last)))
"""


@pytest.fixture
def made(written, arrays):
    """Make an experiment of a network that is built for batches of 8 rows, changed by words."""

    def made(rows, *words, test=8):
        sides = {"x": np.zeros((rows, 4, 2), np.float32), "y": np.zeros(rows, np.float32)}
        sides |= {f"{name}_test": array[:1].repeat(test, 0) for name, array in sides.items()}
        return make(written(arrays(**sides), "model=fixed", *words, fixed=FIXED))

    return made


@pytest.mark.parametrize(("rows", "test", "split"), [(20, 8, "train"), (16, 11, "test")])
def test_a_short_batch_that_the_network_cannot_take_is_refused(made, rows, test, split):
    with pytest.raises(ConfigError, match=f"takes batches of 8 rows only, and {split} has one of"):
        made(rows, test=test)


def test_batches_that_the_network_can_take_are_let_through(made):
    made(16)
    made(20, "data.drop_remainder=true")
    made(20, "model={name: fixed, stateful: false}", test=3)
