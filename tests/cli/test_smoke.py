"""A run is a smoke run of two steps because it was asked for as one, whatever its name is."""

import json

import pytest

from .dead_ends import Shell

EXPERIMENT = """
step: supervised
model: linear
optimizer: {name: adam, learning_rate: 0.1}
loss: sparse_categorical_crossentropy
data: {name: digits, batch_size: 100}
fit: {epochs: 1, steps_per_epoch: 4}
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, capfd):
    shell = Shell(tmp_path, monkeypatch, capfd)
    shell.write("", EXPERIMENT)
    return shell


def test_a_run_that_is_called_as_a_trial_would_be_is_tested_whole(shell):
    trained = shell.fitx("train", "own.yaml", "name=mine-smoke")
    resumed = shell.fitx("resume", "mine-smoke", "fit.epochs=2", "--json")
    measured = shell.fitx("evaluate", "mine-smoke", "--json")

    assert (trained.code, resumed.code, measured.code) == (0, 0, 0), resumed.err
    tested = json.loads(resumed.out)["metrics"]["test_loss"]
    assert tested == json.loads(measured.out)["metrics"]["loss"]


def test_a_trial_stays_one_when_it_goes_on(shell):
    trained = shell.fitx("train", "own.yaml", "--smoke", "--json")
    resumed = shell.fitx("resume", "own-smoke", "--json")

    assert (trained.code, resumed.code) == (0, 0), resumed.err
    assert json.loads(trained.out)["metrics"] == json.loads(resumed.out)["metrics"]


def test_a_training_that_is_to_go_on_does_not_take_a_trial_of_the_same_experiment(shell):
    two_steps = ("fit.steps_per_epoch=2", "fit.validation_steps=2", "data.validation_split=0.5")
    tried = shell.fitx("train", "own.yaml", "--smoke", "--stop-after", "1", *two_steps)
    words = ("train", "own.yaml", "name=own-smoke", "--resume", "auto", "--json", *two_steps)
    trained = shell.fitx(*words)
    measured = shell.fitx("evaluate", "own-smoke", "--json")

    assert (tried.code, trained.code, measured.code) == (143, 0, 0), trained.err
    assert "(interrupted): it was trained with --smoke" in trained.err
    tested = json.loads(trained.out)["metrics"]["test_loss"]
    assert tested == json.loads(measured.out)["metrics"]["loss"]


def test_a_run_whose_journal_is_damaged_is_left_as_it_is(shell):
    assert shell.fitx("train", "own.yaml").code == 0
    (run,) = shell.runs
    (run / "metrics.jsonl").write_text("")
    before = (run / "run.json").read_bytes()

    done = shell.fitx("resume", "own", "fit.epochs=2")

    assert done.code == 7, done.err
    assert "metrics.jsonl" in done.err
    assert (run / "run.json").read_bytes() == before
