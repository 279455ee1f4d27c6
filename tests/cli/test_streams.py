import json

import pytest

MISSED = ["train", "guide/simple", "expect={loss: '< 0'}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("streams")


@pytest.fixture(scope="module")
def runs(folder, launch):
    """Trainings that lose their streams."""
    return {
        "full": launch(folder, "train", "guide/simple", "name=full", shell='"$@" > /dev/full'),
        "left": launch(folder, *MISSED, "name=left", shell='"$@" | true'),
        "closed": launch(folder, "train", "guide/simple", "name=closed", shell='"$@" <&- >&- 2>&-'),
    }


def record(folder, name):
    return json.loads((folder / "runs" / name / "latest/run.json").read_text())


def test_a_result_that_cannot_be_written_is_exit_code_7_and_the_run_is_whole(runs, folder):
    done = runs["full"].result()
    assert done.code == 7
    assert done.err.endswith("\ncannot write to standard output: No space left on device\n")
    assert "Traceback" not in done.err
    assert record(folder, "full")["status"] == "finished"


def test_a_reader_that_has_left_changes_no_exit_code(runs, folder):
    done = runs["left"].result()
    assert done.code == 6
    assert "expected loss < 0, found" in done.err
    assert record(folder, "left")["status"] == "finished"


def test_closed_streams_do_no_harm(runs, folder):
    done = runs["closed"].result()
    assert done.code == 0
    run = folder / "runs/closed/latest"
    assert record(folder, "closed")["status"] == "finished"
    assert set(json.loads((run / "run.lock").read_text())) == {"pid", "host", "since"}
    assert all(map(json.loads, (run / "metrics.jsonl").read_text().splitlines()))


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ('"$@" | head -1', 0),
        ('"$@" | true', 0),
        ('"$@" > /dev/full', 7),
        ('"$@" >&-', 0),
        ('"$@" 2>&-', 0),
        ('"$@" 2> /dev/full', 0),
    ],
)
def test_a_listing_survives_any_stream(fitx, folder, shell, code):
    done = fitx(folder, "list", "layer", shell=shell)
    assert done.code == code
    assert "Traceback" not in done.err


@pytest.mark.parametrize("shell", ['"$@" 2>&-', '"$@" 2> /dev/full', '"$@" >&- 2>&-'])
def test_an_error_that_cannot_be_shown_has_its_exit_code_all_the_same(fitx, folder, shell):
    assert fitx(folder, "train", "nothing", shell=shell).code == 2


def test_an_error_never_goes_to_standard_output(fitx, folder):
    done = fitx(folder, "train", "nothing", "--json", shell='"$@" 2>&-')
    assert done.json["code"] == 2


def test_an_error_as_json_that_cannot_be_written_keeps_its_exit_code(fitx, folder):
    done = fitx(folder, "train", "nothing", "--json", shell='"$@" > /dev/full')
    assert done.code == 2
    assert "there is no such file" in done.err
