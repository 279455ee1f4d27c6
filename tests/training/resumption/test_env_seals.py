import json

import pytest

from fitx.experiment.check import read
from fitx.training.resumption import env_seals
from fitx.training.resumption.changes import compare_experiments
from fitx.training.resumption.env_seals import is_sealed_value, seal

EXPERIMENT = """
name: mine
step: supervised
model: linear
optimizer: {name: adam, learning_rate: 0.01}
loss: mse
data: {name: random, rows: 64, features: 4}
"""
BATCH = "data.batch_size=${env:BATCH:64}"


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Read the experiment, changed by words, with variables of the environment."""
    file = tmp_path / "mine.yaml"
    file.write_text(EXPERIMENT)
    monkeypatch.setattr(env_seals, "ROUNDS", 1)

    def experiment(*words, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return read(str(file), words)

    return experiment


def sealed(*arguments, **variables):
    """What run.json would hold."""
    return json.loads(json.dumps(seal(*arguments, **variables)))


def test_without_variables_nothing_is_sealed(experiment):
    assert seal(experiment()) == {}


def test_what_a_variable_stood_for_is_known_again_and_cannot_be_read(experiment):
    seals = sealed(experiment(BATCH, "optimizer.learning_rate=${env:RATE}", RATE="0.012345"))
    assert list(seals) == ["optimizers.model.learning_rate", "data.batch_size"]
    assert "0.012345" not in str(seals)
    assert is_sealed_value(seals["data.batch_size"], "data.batch_size", 64)
    assert not is_sealed_value(seals["data.batch_size"], "data.batch_size", 32)
    assert not is_sealed_value(seals["data.batch_size"], "data.rows", 64)


def test_equal_values_are_sealed_differently(experiment):
    (first,), (second,) = (sealed(experiment(BATCH)).values() for _ in range(2))
    assert first != second


def test_names_of_parts_and_modes_are_sealed_and_what_is_not_computed_with_is_not(experiment):
    words = [
        "model=${env:MODEL}",
        "execution.mode=${env:MODE}",
        "name=${env:NAME}",
        "data={name: npz, path: '${env:FILE}'}",
        "callbacks=[{name: csv_logger, filename: '${env:FILE}'}]",
    ]
    made = experiment(*words, MODEL="linear", MODE="plain", NAME="other", FILE="secret.npz")
    assert list(sealed(made)) == ["networks.model.name", "execution.mode"]


def test_a_variable_that_stands_for_another_value_than_when_the_run_began_is_a_change(experiment):
    seals = sealed(experiment(BATCH, BATCH="32"))
    now = experiment(BATCH, BATCH="16")
    (change,) = compare_experiments(now, now, seals)
    assert str(change) == "data.batch_size: ${env:BATCH:64} now has another value"
    assert change.verdict == "inexact"
    assert compare_experiments(now, experiment(BATCH, BATCH="32"), seals) == []


def test_what_is_asked_for_is_compared_with_what_the_variable_stood_for_then(experiment):
    seals = sealed(experiment(BATCH, BATCH="32"))
    trained = experiment(BATCH, BATCH="16")
    assert compare_experiments(trained, experiment("data.batch_size=32"), seals) == []
    (change,) = compare_experiments(trained, experiment("data.batch_size=16"), seals)
    assert str(change) == "data.batch_size: ${env:BATCH:64} -> 16"
