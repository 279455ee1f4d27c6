import os

import pytest

from fitx.errors import StorageError
from fitx.rundir.duplicate import duplicate


@pytest.fixture
def run(tmp_path):
    run = tmp_path / "runs" / "digits" / "2026"
    for folder in ("source", "checkpoints/000003", "networks", "samples"):
        (run / folder).mkdir(parents=True)
    for name in ("run.json", "experiment.yaml", "metrics.jsonl", "checkpoints/000003/meta.json"):
        (run / name).write_text(name)
    (run / "networks" / "model.keras").write_text("large")
    return run


def test_a_copy_holds_what_is_needed_to_go_on(run, tmp_path):
    copy = duplicate(run, tmp_path / "own")
    assert copy == tmp_path / "own" / "digits" / "2026"
    assert (copy / "checkpoints/000003/meta.json").read_text() == "checkpoints/000003/meta.json"
    found = {path.name for path in copy.iterdir()}
    expected = {"run.json", "experiment.yaml", "metrics.jsonl", "source", "checkpoints", "samples"}
    assert found == expected


def test_a_place_that_takes_no_copy_is_named(run, tmp_path):
    (tmp_path / "own").write_text("a file")
    with pytest.raises(StorageError) as error:
        duplicate(run, tmp_path / "own")
    assert str(error.value) == f"cannot copy {run}: {os.strerror(20)}"
