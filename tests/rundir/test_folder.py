import errno
import os
import re
import subprocess
import sys
import time
from itertools import chain, repeat
from pathlib import Path

import pytest

from fitx.errors import StorageError, UsageError
from fitx.experiment.check import read
from fitx.experiment.schema import Settings
from fitx.rundir import folder


def finished(run: Path) -> Path:
    (run / "run.json").write_text("{}")
    return run


def test_a_run_is_made_with_its_folders_and_latest_points_to_it(tmp_path):
    run = folder.create_run(tmp_path / "runs", "digits")

    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", run.name)
    assert run.parent == tmp_path / "runs" / "digits"
    assert sorted(p.name for p in run.iterdir()) == ["checkpoints", "networks", "samples", "source"]
    assert os.readlink(run.parent / "latest") == run.name


def test_latest_moves_to_the_newest_run_and_leaves_nothing_beside_it(tmp_path):
    first, second = folder.create_run(tmp_path, "digits"), folder.create_run(tmp_path, "digits")

    assert os.readlink(tmp_path / "digits" / "latest") == second.name
    assert {p.name for p in second.parent.iterdir()} == {first.name, second.name, "latest"}


def test_a_taken_name_is_passed_over(tmp_path):
    (tmp_path / "a").mkdir()

    assert folder.make_first_free(tmp_path, iter(["a", "b"])) == tmp_path / "b"


def test_no_free_name_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()

    with pytest.raises(StorageError) as error:
        folder.make_first_free(tmp_path, chain(repeat("a", 3)))
    assert str(error.value) == f"cannot make a run in {tmp_path}: all its names are taken"


def test_processes_that_start_at_the_same_instant_get_different_folders(tmp_path):
    script = (
        "import sys; from pathlib import Path; from fitx.rundir import folder\n"
        "sys.stdin.readline()\n"
        "for _ in range(20): print(folder.create_run(Path(sys.argv[1]), 'digits').name)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    names = [name for process in processes for name in process.communicate()[0].split()]

    assert len(names) == len(set(names)) == 60
    assert (tmp_path / "digits" / "latest" / "source").is_dir()


@pytest.mark.parametrize("name", ["", ".", "..", "latest", "a/b", "../up", "a b", "ä", "a\n"])
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path, name):
    with pytest.raises(UsageError) as error:
        folder.create_run(tmp_path, name)
    assert str(error.value) == (
        f"a run cannot be called '{name}': use letters, digits, '.', '_' and '-', "
        "and neither '.', '..' nor 'latest'"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "Latest", "latest.1", "latest-smoke", "9", "a" * 100])
def test_a_name_that_a_check_takes_can_be_a_folder(tmp_path, name):
    assert Settings(name=name).name == name
    assert folder.create_run(tmp_path, name).parent.name == name


def test_a_file_called_as_the_link_names_its_runs_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("latest.yaml").write_text("{step: supervised, model: linear, optimizer: sgd, loss: mse}")
    assert read("latest.yaml", ["data=random"]).name == "experiment"


def test_the_names_of_runs_come_in_the_order_in_which_they_were_made(tmp_path, monkeypatch):
    parent = tmp_path / "digits"
    for name in ("20269999-000000-abcd", "99991231-235959-abcd", "21000101-000000-abcd", "notes"):
        (parent / name).mkdir(parents=True)
    made = []
    for now in (5e9, 4e9, 0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        made.append(finished(folder.create_run(tmp_path, "digits")))

    assert [run.name[:-5] for run in made] == [
        "21280611-085320",
        "21280611-085321",
        "21280611-085322",
        "21280611-085323",
    ]
    assert folder.runs(parent) == made[::-1]


def test_the_run_that_latest_points_to_comes_first(tmp_path):
    older = finished(folder.create_run(tmp_path, "digits"))
    newer = finished(folder.create_run(tmp_path, "digits"))
    assert folder.runs(tmp_path / "digits") == [newer, older]
    (tmp_path / "digits/latest").unlink()
    (tmp_path / "digits/latest").symlink_to(older.name)
    assert folder.runs(tmp_path / "digits") == [older, newer]
    assert folder.find_run("digits", tmp_path) == older


def test_a_file_in_the_way_is_a_storage_error(tmp_path):
    (tmp_path / "runs").write_text("")

    with pytest.raises(StorageError) as error:
        folder.create_run(tmp_path / "runs", "digits")
    assert str(error.value) == f"cannot make a run in {tmp_path}/runs/digits: Not a directory"


def test_a_folder_called_latest_is_never_replaced_and_the_newest_run_is_found(tmp_path):
    copied = tmp_path / "digits" / "latest"
    copied.mkdir(parents=True)
    (copied / "run.json").write_text("{}")

    run = folder.create_run(tmp_path, "digits")
    (run / "run.json").write_text("{}")
    assert [p.name for p in copied.iterdir()] == ["run.json"]
    assert not list((tmp_path / "digits").glob(".tmp-*"))
    assert folder.without_latest(run) == (
        f"{copied} is not a link, and is left unchanged; the name digits still means its newest run"
    )
    assert folder.find_run("digits", tmp_path) == folder.find_run("digits/latest", tmp_path) == run


def test_a_run_is_made_and_found_where_no_links_can_be_made(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refused)
    run = folder.create_run(tmp_path, "digits")
    (run / "run.json").write_text("{}")
    assert folder.without_latest(run).startswith(f"{run.parent}/latest cannot be made here; ")
    assert folder.find_run("digits", tmp_path) == run


def test_a_run_that_has_no_link_takes_an_older_one_away_and_is_found(tmp_path):
    finished(folder.create_run(tmp_path, "digits"))
    run = finished(folder.create_run(tmp_path, "digits", has_link=False))
    assert not os.path.lexists(run.parent / "latest")
    assert not list(run.parent.glob(".tmp-*"))
    assert folder.find_run("digits", tmp_path) == folder.find_run("digits/latest", tmp_path) == run
    assert folder.without_latest(run, "is not made") == (
        f"{run.parent}/latest is not made; the name digits still means its newest run"
    )


def test_a_run_is_found_by_folder_name_latest_and_time(tmp_path):
    out = tmp_path / "runs"
    old = finished(folder.create_run(out, "digits"))
    new = finished(folder.create_run(out, "digits"))

    assert folder.find_run(str(old), out) == old
    assert folder.find_run("digits", out) == new
    assert folder.find_run("digits/latest", out) == new
    assert folder.find_run(f"digits/{old.name}", out) == old
    assert folder.find_run(str(out / "digits"), tmp_path / "elsewhere") == new
    assert folder.find_run(str(out / "digits" / "latest"), tmp_path / "elsewhere") == new


def test_a_misspelt_run_names_the_nearest(tmp_path):
    finished(folder.create_run(tmp_path, "digits"))

    with pytest.raises(UsageError) as error:
        folder.find_run("digts", tmp_path)
    assert str(error.value) == (
        f"no run is called 'digts': there is no digts/run.json or {tmp_path}/digts/run.json. "
        "Did you mean 'digits'?"
    )


def test_an_unlike_name_lists_the_runs(tmp_path):
    finished(folder.create_run(tmp_path, "digits"))
    finished(folder.create_run(tmp_path, "gan"))

    with pytest.raises(UsageError, match=rf"Runs in {tmp_path}/: digits, gan\.$"):
        folder.find_run("something", tmp_path)


def test_without_any_run_that_is_what_is_said(tmp_path):
    with pytest.raises(UsageError, match=rf"There are no runs in {tmp_path}/runs/ yet\.$"):
        folder.find_run("digits", tmp_path / "runs")


def test_a_run_that_was_killed_before_its_record_hides_no_older_one(tmp_path):
    old, older = (tmp_path / "digits" / f"20261122-19301{n}-2b5a" for n in (7, 6))
    for run in (old, older):
        run.mkdir(parents=True)
        finished(run)
    killed = folder.create_run(tmp_path, "digits")

    assert os.readlink(tmp_path / "digits" / "latest") == killed.name
    assert folder.find_run("digits", tmp_path) == old
    assert folder.find_run("digits/latest", tmp_path) == old


def test_without_a_link_the_newest_run_is_found(tmp_path):
    new = finished(folder.create_run(tmp_path, "digits"))
    (tmp_path / "digits" / "latest").unlink()

    assert folder.find_run("digits", tmp_path) == new
    with pytest.raises(UsageError, match=r"Did you mean 'digits'\?$"):
        folder.find_run("digts", tmp_path)


def test_runs_are_real_folders_with_a_record_newest_first(tmp_path):
    names = [f"2026112{day}-193017-2b5a" for day in (3, 1, 2)]
    for name in (*names, "20261124-193017-0000", "notes", ".tmp-20261125-193017-2b5a"):
        (tmp_path / "digits" / name).mkdir(parents=True)
    for name in (*names, "notes"):
        finished(tmp_path / "digits" / name)
    (tmp_path / "elsewhere").mkdir()
    finished(tmp_path / "elsewhere")
    (tmp_path / "digits/20261126-193017-2b5a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "digits/20261127-193017-2b5a").write_text("")

    assert [run.name for run in folder.runs(tmp_path / "digits")] == sorted(names, reverse=True)
    assert folder.runs(tmp_path / "gan") == []
    assert folder.runs(tmp_path / "digits/20261127-193017-2b5a") == []


def test_a_folder_of_runs_that_cannot_be_read_is_a_storage_error(tmp_path):
    parent = tmp_path / ("a" * 300)
    with pytest.raises(StorageError) as error:
        folder.runs(parent)
    assert str(error.value) == f"cannot read {parent}: File name too long"


@pytest.mark.parametrize("target", ["../../secret", "..", ".", "/etc", "gone"])
def test_a_latest_that_points_elsewhere_is_not_followed(tmp_path, target):
    finished_folder = tmp_path / "secret"
    finished_folder.mkdir()
    finished(finished_folder)
    (tmp_path / "runs" / "digits").mkdir(parents=True)
    (tmp_path / "runs" / "digits" / "latest").symlink_to(target)

    with pytest.raises(UsageError, match="^no run is called 'digits'"):
        folder.find_run("digits", tmp_path / "runs")


@pytest.mark.parametrize("run", ["", ".", "..", "/", "~", "a" * 300, "\udcff", "x/../../y"])
def test_strange_words_are_a_usage_error(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UsageError, match="^no run is called '"):
        folder.find_run(run, tmp_path / "runs")


def test_an_output_folder_that_does_not_exist_yet_is_writable(tmp_path):
    folder.check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError) as error:
        folder.check_writable(tmp_path / "file" / "runs")
    assert str(error.value) == (
        f"cannot write runs to {tmp_path}/file/runs: {tmp_path}/file is not a folder. "
        "Choose another folder with --out."
    )


def test_an_output_folder_that_is_a_dangling_link_is_refused(tmp_path):
    (tmp_path / "runs").symlink_to("gone")

    with pytest.raises(StorageError, match="runs is not a folder"):
        folder.check_writable(tmp_path / "runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_output_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match=f"{tmp_path} is not writable"):
            folder.check_writable(tmp_path / "runs")
    finally:
        tmp_path.chmod(0o700)
