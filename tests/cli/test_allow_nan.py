"""Values that are NaN for a good reason are excepted by name; all others end the run."""

import csv
import json
from pathlib import Path

import pytest

from .dead_ends import ONE, Shell, step

BODY = """
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        self.minimize(loss, tape, "model")
        return {"loss": loss, "recall": loss * float("VALUE")}

    def test_step(self, data):
        x, y = data
        return {"error": tf.reduce_mean(abs(self(x) - y)), "recall": y[0, 0] * float("VALUE")}
"""
WORDS = ("data.validation_split=0.5", "fit.epochs=4", "fit.validation_freq=2")


@pytest.fixture
def shell(tmp_path, monkeypatch, capfd):
    shell = Shell(tmp_path, monkeypatch, capfd)
    shell.write(step(BODY.replace("VALUE", "nan")), ONE)
    return shell


def test_a_value_that_may_be_nan_does_not_end_a_run(shell):
    trained = shell.fitx("train", "own.yaml", *WORDS, "fit.allow_nan=[recall]", "--json")
    evaluated = shell.fitx("evaluate", "own", "--json")

    assert (trained.code, evaluated.code) == (0, 0), trained.err + evaluated.err
    # JSON has no NaN, which would be read as a number here.
    assert json.loads(trained.out)["metrics"]["val_recall"] == "nan"
    assert json.loads(evaluated.out)["metrics"]["recall"] == "nan"


@pytest.mark.parametrize(
    ("value", "allowed"), [("nan", "[]"), ("nan", "[loss]"), ("inf", "[recall]")]
)
def test_every_other_value_ends_it(shell, value, allowed):
    shell.write(step(BODY.replace("VALUE", value)), ONE)

    done = shell.fitx("train", "own.yaml", f"fit.allow_nan={allowed}")

    assert done.code == 5
    assert "A value that may be NaN is named in fit.allow_nan." in done.err


def test_a_name_that_the_step_does_not_log_is_refused(shell):
    done = shell.fitx("train", "own.yaml", "fit.allow_nan=[recal]")

    assert (done.code, shell.runs) == (2, [])
    assert "fit.allow_nan.0: 'recal' is not logged" in done.err


def test_a_table_has_a_column_for_what_any_epoch_logs_and_no_other(shell):
    table = "callbacks=[{name: csv_logger, filename: log.csv}]"
    words = [*WORDS, "fit.allow_nan=[recall]", table]

    done = shell.fitx("train", "own.yaml", *words)

    assert done.code == 0, done.err
    (table,) = Path().glob("runs/own/2*/log.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert list(rows[0]) == ["epoch", "loss", "recall", "val_error", "val_recall"]
    assert [row["val_error"] == "NA" for row in rows] == [True, False, True, False]
