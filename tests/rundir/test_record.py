import pytest

from fitx.errors import StorageError
from fitx.rundir import record


def test_a_run_starts_as_running_with_its_facts(tmp_path):
    record.start(tmp_path, {"name": "digits", "best": float("nan")})

    facts = record.load(tmp_path)
    assert facts["status"] == "running"
    assert facts["started"].endswith(" UTC")
    assert facts["ended"] is None
    assert (facts["name"], facts["best"]) == ("digits", "nan")


def test_changes_are_on_disk_at_once_and_an_end_is_dated(tmp_path):
    started = record.start(tmp_path, {"name": "digits"})
    started.update(seed=7)
    assert record.load(tmp_path)["seed"] == 7
    started.update(status="finished")

    facts = record.load(tmp_path)
    assert (facts["status"], facts["name"], facts["seed"]) == ("finished", "digits", 7)
    assert facts["ended"] >= facts["started"]
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_reopened_record_goes_on_where_it_was(tmp_path):
    record.start(tmp_path, {"name": "digits"}).update(status="interrupted")
    record.reopen(tmp_path).update(status="running")

    facts = record.load(tmp_path)
    assert (facts["status"], facts["ended"], facts["name"]) == ("running", None, "digits")


def test_an_unknown_status_changes_nothing(tmp_path):
    started = record.start(tmp_path, {})
    with pytest.raises(ValueError, match="diverged, not 'done'"):
        started.update(status="done")
    assert started.facts["status"] == record.load(tmp_path)["status"] == "running"


@pytest.mark.parametrize("content", ["[]", '{"status": "done"}', "{}", '"running"'])
def test_a_file_that_is_no_record_is_damaged(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(StorageError) as error:
        record.load(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/run.json is damaged: expected an object whose status is one of "
        "running, finished, interrupted, failed, diverged"
    )
