import json

import pytest

from fitx.errors import StorageError
from fitx.rundir import summary_file

LINES = '{"epoch": 1, "step": 3, "seconds": 1, "loss": 3.0, "acc": 0.5}\n'
LINES += '{"epoch": 2, "step": 6, "seconds": 1, "loss": "nan"}\n'
SUMMARY = {
    "metrics": {"loss": "nan", "test_loss": 1.5},
    **{"status": "finished", "epochs": 2, "steps": 6, "seconds": 2.5},
    **{"examples_per_second": None, "best": None, "expect": []},
}


@pytest.fixture
def read(tmp_path):
    """Read a summary that differs from a right one, beside a journal."""

    def read(journal=LINES, **changes):
        (tmp_path / "metrics.jsonl").write_text(journal)
        (tmp_path / "summary.json").write_text(json.dumps({**SUMMARY, **changes}))
        return summary_file.read(tmp_path)

    return read


def test_what_was_written_is_read_back(read):
    assert read() == SUMMARY


def test_a_run_without_an_epoch_has_a_summary(read):
    nothing = {**SUMMARY, "metrics": {"test_loss": 1.5}, "epochs": 0, "steps": 0}
    assert read("", **nothing) == nothing


WRONG = {
    "epochs: expected 2 as in metrics.jsonl": {"epochs": 10**17},
    "steps: expected 6 as in metrics.jsonl": {"steps": 5},
    "metrics.loss: expected nan as in metrics.jsonl": {"metrics": {"loss": 1.0}},
    "metrics.acc: expected no such value as in": {"metrics": {"loss": "nan", "acc": 0.5}},
    "metrics.loss: expected a number, found []": {"metrics": {"loss": []}},
    "status: expected 'finished', found \"running\"": {"status": "running"},
    "seconds: expected greater than or equal to 0, found -1": {"seconds": -1},
    "expect[0]: expected an object, found 1": {"expect": [1]},
    "best.mode: missing": {"best": {"monitor": "loss", "epoch": 1, "value": 3.0}},
}


@pytest.mark.parametrize("text", WRONG)
def test_a_field_that_is_wrong_is_named(read, tmp_path, text):
    with pytest.raises(StorageError) as error:
        read(**WRONG[text])
    assert str(error.value).startswith(f"{tmp_path}/summary.json is damaged: {text}")
