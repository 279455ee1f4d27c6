import keras
import numpy as np
import pytest

from fitx.errors import StorageError, UserCodeError
from fitx.training.state import callback_state
from fitx.training.state.callback_state import (
    append_to_files,
    by_name,
    capture_callback,
    loses_state,
    restore_callback,
)


class Counting(keras.callbacks.Callback):
    """Remembers whatever a test gives it."""

    def __init__(self, remembered=None):
        super().__init__()
        self.remembered = remembered

    def get_state(self):
        return self.remembered

    def set_state(self, state):
        self.remembered = state


class Forgetful(keras.callbacks.Callback):
    """Says nothing of what it remembers."""


class OwnPatience(keras.callbacks.EarlyStopping):
    """Keras' own, with something added."""


def test_what_a_callback_returns_comes_back_in_numbers_text_lists_and_arrays():
    state = {"a": 1, "b": [1.5, None, "x", True], "c": {"d": np.arange(3, dtype="uint8")}}
    arrays = {}
    packed = capture_callback("Counting", Counting({**state, "e": np.float32(0.1)}), arrays)
    assert arrays.keys() == {"Counting/c/d", "Counting/e"}
    again = Counting()
    restore_callback(again, packed, arrays)
    assert again.remembered["c"]["d"].tolist() == [0, 1, 2]
    assert again.remembered["c"]["d"].dtype == "uint8"
    assert isinstance(again.remembered["e"], np.float32)
    assert {key: again.remembered[key] for key in "ab"} == {key: state[key] for key in "ab"}


def test_what_is_taken_does_not_change_with_the_callback():
    callback, arrays = Counting({"sum": np.zeros(2)}), {}
    capture_callback("Counting", callback, arrays)
    callback.remembered["sum"] += 1
    assert not arrays["Counting/sum"].any()


def test_what_cannot_be_kept_is_named():
    with pytest.raises(UserCodeError) as error:
        capture_callback("Counting", Counting({"seen": [{1, 2}]}), {})
    assert str(error.value) == (
        "callback 'Counting': get_state returns a set under 'seen/0', which cannot be saved; "
        "return numbers, text, arrays, and lists and dictionaries of them."
    )


def test_a_state_nested_too_deeply_is_refused_when_it_is_taken():
    state = {}
    state["itself"] = state
    with pytest.raises(UserCodeError, match=r"callback 'Counting': .* more than 100 levels"):
        capture_callback("Counting", Counting(state), {})


def test_early_stopping_keeps_its_patience_and_its_best_weights():
    stopping = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
    stopping.wait, stopping.best, stopping.best_epoch = 3, 0.5, 7
    stopping.stopped_epoch, stopping.best_weights = (
        0,
        [np.zeros((2, 2), "float32"), np.ones(2, "float32")],
    )
    arrays = {}
    packed = capture_callback("EarlyStopping", stopping, arrays)
    assert arrays.keys() == {"EarlyStopping/best_weights/0", "EarlyStopping/best_weights/1"}
    again = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
    again.set_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    again.on_train_begin()
    restore_callback(again, packed, arrays)
    assert (again.wait, again.best, again.best_epoch) == (3, 0.5, 7)
    assert [weights.shape for weights in again.best_weights] == [(2, 2), (2,)]


def test_best_weights_of_other_networks_are_refused():
    stopping = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
    stopping.set_model(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    with pytest.raises(StorageError, match="^best_weights have the shapes or dtypes of "):
        restore_callback(stopping, {"best_weights": [{"$array": "w"}]}, {"w": np.zeros((2, 2))})


def test_plateau_keeps_its_counters():
    plateau = keras.callbacks.ReduceLROnPlateau("loss")
    plateau.wait, plateau.cooldown_counter, plateau.best = 2, 1, 0.25
    arrays = {}
    packed = capture_callback("ReduceLROnPlateau", plateau, arrays)
    again = keras.callbacks.ReduceLROnPlateau("loss")
    restore_callback(again, packed, arrays)
    assert (again.wait, again.cooldown_counter, again.best) == (2, 1, 0.25)


def test_a_table_of_epochs_goes_on_where_the_state_was_taken(tmp_path):
    def epoch(logger, number):
        logger.on_epoch_end(number, {"loss": number / 2})

    path, arrays = tmp_path / "epochs.csv", {}
    logger = keras.callbacks.CSVLogger(path)
    logger.on_train_begin()
    epoch(logger, 0)
    packed = capture_callback("CSVLogger", logger, arrays)
    epoch(logger, 1)
    logger.csv_file.close()
    again = keras.callbacks.CSVLogger(path)
    append_to_files([again])
    again.on_train_begin()
    restore_callback(again, packed, arrays)
    epoch(again, 1)
    again.on_train_end()
    assert path.read_text().split() == ["epoch,loss,val_loss", "0,0.0,NA", "1,0.5,NA"]


def test_callbacks_without_words_for_their_state_are_known():
    assert loses_state(Forgetful())
    assert loses_state(OwnPatience("loss"))
    assert not loses_state(Counting())
    assert not loses_state(keras.callbacks.EarlyStopping("loss"))
    assert not loses_state(keras.callbacks.LearningRateScheduler(lambda epoch: 0.1))


def test_what_keras_remembers_for_a_subclass_is_kept_all_the_same():
    stopping, arrays = OwnPatience("loss"), {}
    stopping.wait = 4
    again = OwnPatience("loss")
    restore_callback(again, capture_callback("OwnPatience", stopping, arrays), arrays)
    assert again.wait == 4


def test_callbacks_are_named_by_their_class_and_number():
    some = [Counting(), Forgetful(), Counting(), Counting()]
    assert list(by_name(some)) == ["Counting", "Forgetful", "Counting#2", "Counting#3"]
    assert list(by_name(some).values()) == some


def test_every_callback_that_keras_offers_is_known():
    from fitx.registry.keras_parts import class_name
    from fitx.registry.part_index import PartIndex

    offered = {class_name("callback", name) for name in PartIndex().names("callback")} - {None}
    assert offered == {kind.__name__ for kind in callback_state.SCHEMAS}


WRONG = {
    "expected an object, found 7": 7,
    'state.npz holds no array "missing"': {"best": {"$array": "missing"}},
    "state.npz holds no array [[]]": {"best": {"$array": [[]]}},
    "wait: expected greater than or equal to 0, found -1": {"wait": -1},
    "wait: expected an integer, found 2.0": {"wait": 2.0},
    "wait is 9, but only 8 epochs were finished": {"wait": 9},
    'best: expected a number, found "0.5"': {"best": "0.5"},
    "best_weights[0]: expected an array, found 1.0": {"best_weights": [1.0]},
    "patience: unknown; this version of fitx writes no such field": {"patience": 1},
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_state_is_refused(text):
    with pytest.raises(StorageError) as error:
        restore_callback(keras.callbacks.EarlyStopping("loss"), WRONG[text], {}, epoch=8)
    assert str(error.value) == text


def test_a_table_of_epochs_is_not_cut_within_a_line(tmp_path):
    path = tmp_path / "epochs.csv"
    path.write_text("epoch,loss\n0,0.5\n1,0.25\n")
    logger = keras.callbacks.CSVLogger(path, append=True)
    with pytest.raises(StorageError, match=f"^size is 13, within a line of {path}$"):
        restore_callback(logger, {"keys": ["loss"], "size": 13}, {})
    with pytest.raises(StorageError, match="^size: expected greater than or equal to 0, found -1"):
        restore_callback(logger, {"keys": ["loss"], "size": -1}, {})
    assert path.read_text() == "epoch,loss\n0,0.5\n1,0.25\n"


def test_what_the_set_state_of_a_user_raises_is_no_damage():
    class Strict(Counting):
        def set_state(self, state):
            raise ValueError("of the user")

    with pytest.raises(ValueError, match="^of the user$"):
        restore_callback(Strict(), 7, {})
