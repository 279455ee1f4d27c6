import pytest

from fitx.experiment.check import read
from fitx.training.resumption.epochs import nothing_left_note, schedule_notes

EXPERIMENT = """
step: supervised
model: linear
optimizer:
  name: adam
  learning_rate: {name: cosine_decay, initial_learning_rate: 0.1, decay_steps: total}
loss: mse
data: {name: random, rows: 64, features: 4}
fit: {epochs: 3}
"""


@pytest.fixture
def experiment(tmp_path):
    """Read the experiment, changed by words."""
    file = tmp_path / "mine.yaml"
    file.write_text(EXPERIMENT)
    return lambda *words: read(str(file), words)


def test_a_run_with_epochs_to_train_has_something_left():
    assert nothing_left_note(3, 2) is None


def test_a_run_that_has_done_as_many_epochs_or_more_has_nothing_left():
    assert (
        nothing_left_note(1, 1) == "nothing is left to train: 1 epoch is done, and fit.epochs is 1"
    )
    told = "nothing is left to train: 5 epochs are done, and fit.epochs is 3"
    assert nothing_left_note(3, 5) == told


def test_a_schedule_over_the_whole_training_is_stretched_by_more_epochs(experiment):
    assert schedule_notes(experiment(), experiment("fit.epochs=600"), 8) == [
        "optimizers.model.learning_rate: the schedule spans 4,800 steps instead of 24 now; "
        "its learning rate jumps here"
    ]


def test_a_callbacks_schedule_goes_by_epochs(experiment):
    words = [
        "optimizer.learning_rate=0.1",
        "callbacks=[{name: learning_rate_scheduler, schedule: {name: cosine_decay, "
        "initial_learning_rate: 0.1, decay_steps: total}}]",
    ]
    assert schedule_notes(experiment(*words), experiment(*words, "fit.epochs=5"), 8) == [
        "callbacks.0.schedule: the schedule spans 5 epochs instead of 3 now; "
        "its learning rate jumps here"
    ]


def test_a_schedule_of_its_own_length_is_not_stretched(experiment):
    word = "optimizer.learning_rate.decay_steps=24"
    assert schedule_notes(experiment(word), experiment(word, "fit.epochs=5"), 8) == []


def test_a_schedule_that_was_not_there_before_jumps_by_itself(experiment):
    before = experiment("optimizer.learning_rate=0.1")
    assert schedule_notes(before, experiment("fit.epochs=5"), 8) == []


def test_as_many_epochs_as_before_leave_the_schedule_as_it_was(experiment):
    assert schedule_notes(experiment(), experiment("seed=3"), 8) == []
