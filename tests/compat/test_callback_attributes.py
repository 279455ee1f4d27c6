"""Attributes in which Keras' callbacks keep what they learn."""

import keras
import pytest

from fitx.compat.callback_attributes import demand_attributes
from fitx.errors import DeviceError
from fitx.training.state.callback_schema import SCHEMAS, attributes

X = [[1.0], [2.0]]


def fitted(callback):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x = keras.ops.convert_to_tensor(X)
    model.fit(x, x, epochs=2, verbose=0, callbacks=[callback], validation_data=(x, x))
    return callback


MADE = {
    "early_stopping": lambda folder: keras.callbacks.EarlyStopping(
        "loss", patience=5, restore_best_weights=True
    ),
    "reduce_lr_on_plateau": lambda folder: keras.callbacks.ReduceLROnPlateau("loss"),
    "csv_logger": lambda folder: keras.callbacks.CSVLogger(folder / "log.csv"),
}


@pytest.mark.parametrize("name", MADE)
def test_keras_still_keeps_what_a_callback_learns_in_these_attributes(name, tmp_path):
    callback = fitted(MADE[name](tmp_path))

    state = {attribute: getattr(callback, attribute) for attribute in attributes(callback)}

    assert state
    # Every number that the training changed is among them.
    fresh = vars(MADE[name](tmp_path))
    numbers = {key: value for key, value in vars(callback).items() if type(value) in (int, float)}
    changed = {key for key, value in numbers.items() if fresh.get(key) != value}
    # The sign of min_delta is set anew by every training.
    assert changed - {"min_delta"} <= state.keys()


def test_keras_still_counts_batches_of_tensor_board_in_these_attributes():
    assert attributes(keras.callbacks.TensorBoard()) == (
        "_global_train_batch",
        "_global_test_batch",
    )


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_class_without_such_an_attribute_is_refused(kind):
    with pytest.raises(DeviceError, match=f"keras .* has no _learned in keras.*{kind.__name__}"):
        demand_attributes(kind, ("_learned",))
