"""fitx bench, as it is typed."""

import re

import pytest


@pytest.fixture(scope="module")
def benches(launch, tmp_path_factory):
    """A comparison as a table and one as JSON, side by side."""
    folder = tmp_path_factory.mktemp("bench")
    words = ["bench", "guide/simple", "data.rows=128", "--rounds", "1"]
    table, plain = launch(folder, *words), launch(folder, *words, "--json", "-q")
    return {"table": table.result(), "json": plain.result(), "folder": folder}


def test_the_table_goes_to_standard_output_and_the_progress_elsewhere(benches):
    done = benches["table"]
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "simple: epochs of 4 steps of 32 examples"
    names = ["stock fit", "stock fit, 4 steps a call", "plain", "xla", "fused", "fused_xla"]
    for name, line in zip(names, lines[2:8], strict=True):
        number = r"[\d.,]+"
        times = rf" +{number} m?s +{number} [mu]s +{number} +{number}x"
        assert re.fullmatch(rf"{re.escape(name)}{times}", line), line
    assert lines[8].startswith("fitx train: plain (")
    assert lines[9].startswith("where a step goes: input ")
    assert re.match("bottleneck: (input|dispatch|device); execution.mode=fused", lines[10])
    assert "stock fit: first step after" in done.err


def test_json_is_one_object_and_quiet_is_quiet(benches):
    done = benches["json"]
    assert done.code == 0, done.err
    assert [row["name"] for row in done.json["rows"]][2:] == ["plain", "xla", "fused", "fused_xla"]
    assert done.json["bottleneck"] in done.json["shares"]
    assert done.err == ""


def test_nothing_is_left_behind(benches):
    assert list(benches["folder"].iterdir()) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nothing.yaml"], "nothing.yaml"),
        (["guide/simple", "fit.epoch=3"], "command line: fit.epoch=3"),
        (["guide/evaluation"], "optimizer: missing; a network without an optimizer is frozen"),
        (["guide/simple", "--rounds", "0"], "Invalid value for '--rounds'"),
        ([], "Missing argument 'FILE'"),
    ],
)
def test_what_cannot_be_timed_is_said_at_once(fitx, tmp_path, words, text):
    done = fitx(tmp_path, "bench", *words)
    assert (done.code, done.out) == (2, "")
    assert text in done.err


def test_json_tells_of_errors_too(fitx, tmp_path):
    done = fitx(tmp_path, "bench", "guide/evaluation", "--json")
    assert (done.code, done.json["code"]) == (2, 2)
