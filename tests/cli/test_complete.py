from pathlib import Path

import pytest

from fitx.cli.main import group


@pytest.fixture
def complete():
    from click.shell_completion import BashComplete

    completion = BashComplete(group, {}, "fitx", "_FITX_COMPLETE")

    def words(args, incomplete):
        found = completion.get_completions(args, incomplete)
        return {(item.type, item.value) for item in found}

    return words


def test_commands_complete(complete):
    assert complete([], "tr") == {("plain", "train")}


@pytest.mark.parametrize("command", ["train", "check"])
def test_an_experiment_completes_to_shipped_names_and_files(complete, command):
    assert complete([command], "guide/g") == {("plain", "guide/gan"), ("file", "guide/g")}


def test_what_is_evaluated_completes_to_runs_too(complete, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs/mine").mkdir(parents=True)
    assert complete(["evaluate"], "min") == {("plain", "mine"), ("file", "min")}


def test_kinds_and_parts_complete(complete):
    assert complete(["list"], "sched") == {("plain", "schedule")}
    assert ("plain", "early_stopping") in complete(["show"], "early")
    assert ("plain", "gan") in complete(["copy"], "ga")


def test_a_folder_that_would_draw_on_the_terminal_is_no_run_to_complete(
    complete, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "mi\x1b[2Jne", "mi\u202ene"):
        Path("runs", name).mkdir(parents=True)
    assert complete(["resume"], "mi") == {("plain", "mine"), ("file", "mi")}
