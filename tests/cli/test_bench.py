"""The `fitx bench` command."""

import pytest

from fitx.cli.bench import _comparison_lines
from fitx.commands.benchmark import Comparison, Row

TABLE = """\
mine: epochs of 21 steps of 64 examples
                            first step  next steps  examples/s  vs stock
stock fit                       1.23 s     2.35 ms      27,234     1.00x
stock fit, 21 steps a call  unknown loss.
plain                           456 ms      789 us      81,115     2.98x
fused                           1.01 s      456 us     140,351
xla                         XLA cannot compile PyFunc.
fitx train runs this experiment in mode plain (as execution.mode says)."""


def test_the_table_has_a_line_for_every_way_and_names_the_mode_of_training():
    rows = (
        Row("stock fit", 1.234, 2.35e-3, 27_234.0, 1.0),
        Row("stock fit, 21 steps a call", reason="unknown loss."),
        Row("plain", 0.456, 789e-6, 81_115.3, 2.98),
        Row("fused", 1.01, 456e-6, 140_350.9),
        Row("xla", reason="XLA cannot compile PyFunc."),
    )
    comparison = Comparison("mine", "CPU", 64, 21, rows, "plain", "as execution.mode says")
    assert list(_comparison_lines(comparison)) == TABLE.splitlines()


def test_a_comparison_goes_to_standard_output_and_its_progress_elsewhere(fitx, tmp_path):
    done = fitx(tmp_path, "bench", "guide/simple", "data.rows=64", "--rounds", "1", "--json")
    assert done.code == 0, done.err
    assert [row["name"] for row in done.json["rows"]][2:] == ["plain", "xla", "fused", "fused_xla"]
    assert "stock fit: first step after" in done.err
    assert list(tmp_path.iterdir()) == []


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
