import os

import pytest

from fitx.errors import StorageError
from fitx.rundir import lock, record
from fitx.rundir.status import status, unfinished


@pytest.fixture
def run(tmp_path, whole_record):
    """Leave a run of a day of November with a status, as a process that is gone did."""

    def run(day, said="running", name="digits"):
        folder = tmp_path / name / f"202611{day:02}-120000-abcd"
        folder.mkdir(parents=True)
        started = record.start(folder, whole_record(name=name))
        with lock.hold(folder):
            if said != "running":
                started.update(status=said)
        return folder

    return run


def found(out, name="digits"):
    return [(one.run, one.status) for one in unfinished(out, name)]


@pytest.mark.parametrize("said", ["finished", "interrupted", "failed", "diverged"])
def test_a_run_that_has_ended_says_how(run, said):
    assert status(run(1, said)) == said


def test_a_run_that_somebody_holds_is_running(run):
    folder = run(1)
    with lock.hold(folder):
        assert status(folder) == "running"


def test_a_run_that_says_running_and_that_nobody_holds_was_killed(run):
    folder = run(1)
    assert status(folder) == "killed"
    (folder / "run.lock").unlink()
    assert status(folder) == "killed"


def test_a_run_that_ends_while_it_is_looked_at_was_not_killed(run, monkeypatch):
    folder = run(1)

    def ends(run):
        record.reopen(run).update(status="finished")
        return False

    monkeypatch.setattr(lock, "is_held", ends)
    assert status(folder) == "finished"


def test_looking_writes_nothing(run):
    folder = run(1)
    before = {path: os.stat(path).st_mtime_ns for path in (folder, *folder.iterdir())}
    status(folder)
    assert {path: os.stat(path).st_mtime_ns for path in (folder, *folder.iterdir())} == before


def test_a_damaged_record_is_named(run):
    folder = run(1)
    (folder / "run.json").write_text("{")
    with pytest.raises(StorageError, match=f"^{folder}/run.json is damaged: "):
        status(folder)


def test_unfinished_runs_come_newest_first_and_finished_ones_not_at_all(run, tmp_path):
    ends = ["interrupted", "finished", "failed", "diverged", "running"]
    folders = [run(day, said) for day, said in enumerate(ends, start=1)]
    run(9, "interrupted", name="gan")
    assert found(tmp_path) == [
        (folders[4], "killed"),
        (folders[2], "failed"),
        (folders[0], "interrupted"),
    ]


def test_a_run_that_is_running_is_among_them(run, tmp_path):
    folder = run(1)
    with lock.hold(folder):
        assert found(tmp_path) == [(folder, "running")]


def test_an_experiment_that_was_never_run_has_none(tmp_path):
    assert found(tmp_path) == found(tmp_path / "gone") == []


def test_junk_and_links_are_left_out_and_damage_is_told(run, tmp_path):
    whole, damaged, linked = run(1), run(2), run(4)
    (damaged / "run.json").write_text('{"status": ["running"]}')
    (linked / "run.lock").unlink()
    (linked / "run.lock").symlink_to(tmp_path / "precious")
    (tmp_path / "digits" / "20261103-120000-abcd").symlink_to(run(3, name="elsewhere"))
    (tmp_path / "digits" / "notes.txt").write_text("")
    (tmp_path / "digits" / "20261105-120000-abcd").mkdir()
    (tmp_path / "digits" / "20261106-120000-abcd").write_text("")
    os.mkfifo(tmp_path / "digits" / "20261107-120000-abcd")
    assert found(tmp_path) == [(linked, "damaged"), (damaged, "damaged"), (whole, "killed")]
    (_, second, _) = unfinished(tmp_path, "digits")
    assert second.damage.startswith(f"{damaged}/run.json is damaged: ")
    assert not (tmp_path / "precious").exists()
