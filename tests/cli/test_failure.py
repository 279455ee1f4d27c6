import errno
import json
import sys

import click
import pytest

from fitx.cli import _layout
from fitx.cli._results import print_failure, print_result
from fitx.errors import DataError, Interrupted, UserCodeError
from fitx.training.result import Result


@pytest.fixture
def run_failing(monkeypatch, capsys):
    """Return a function that prints an error of a command; it returns code, out and err."""

    def run_failing(error, *words):
        monkeypatch.setattr(sys, "argv", ["fitx", "train", *words])
        try:
            raise error
        except BaseException as raised:
            code = print_failure(raised)
        return (code, *capsys.readouterr())

    return run_failing


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (DataError("x is NaN."), 3, "x is NaN.\n"),
        (
            ModuleNotFoundError("No module named 'keras'", name="keras"),
            4,
            "No module named 'keras'; `fitx doctor` shows which packages are missing.\n",
        ),
        (OSError(errno.EIO, "Input/output error", "log.csv"), 7, "log.csv: Input/output error\n"),
        (UserCodeError("KeyError: 'a'", "  File ..."), 1, "  File ...\nKeyError: 'a'\n"),
        (click.UsageError("No such option '--x'."), 2, "No such option '--x'.\n"),
        (KeyboardInterrupt(), 130, ""),
        (SystemExit(5), 5, ""),
    ],
)
def test_an_error_is_printed_as_its_message_and_has_its_code(run_failing, error, code, text):
    assert run_failing(error) == (code, "", text)


def test_what_went_wrong_besides_and_the_run_are_printed_too(run_failing):
    error = Interrupted("stopped by SIGTERM.", 15)
    error.add_note("cannot write run.json: No space left on device")
    error.run = "runs/digits/1"
    text = "stopped by SIGTERM.\ncannot write run.json: No space left on device\n"
    hint = "resume with: fitx resume runs/digits/1\n"
    assert run_failing(error) == (143, "", f"{text}run: runs/digits/1\n{hint}")


def test_a_bug_is_printed_with_its_traceback(run_failing):
    code, out, err = run_failing(RuntimeError("of fitx"))
    assert (code, out) == (1, "")
    assert err.startswith("Traceback (most recent call last):\n")
    assert "RuntimeError: of fitx\nThis is a bug in fitx " in err
    assert err.endswith("; please report it, with the above.\n")


def test_an_import_that_fails_inside_fitx_is_a_bug(run_failing):
    assert (
        run_failing(ImportError("cannot import name 'x' from 'fitx.run'", name="fitx.run"))[0] == 1
    )


def test_verbose_shows_the_traceback_of_any_error(run_failing):
    code, _, err = run_failing(DataError("x is NaN."), "--verbose")
    assert code == 3
    assert err.startswith("Traceback")
    assert err.endswith("x is NaN.\n")


@pytest.mark.parametrize("error", [DataError("x is NaN."), RuntimeError("of fitx")])
def test_json_is_one_object_on_standard_output(run_failing, error):
    code, out, err = run_failing(error, "--json")
    result = json.loads(out)
    assert set(result) == {"error", "code", "problems", "run"}
    assert result["code"] == code
    assert result["error"] in ("x is NaN.", "RuntimeError: of fitx")
    assert err


MISSED = {"name": "loss", "expected": "< 0", "found": 0.5, "met": False}
MET = {"name": "loss", "expected": "< 1", "found": 0.5, "met": True}


@pytest.mark.parametrize("wide", [1, 12, 20, 33, 40, 80, 120])
def test_no_number_of_a_result_is_broken_whatever_the_width(wide):
    rows = [("loss", "0.000123456"), ("val_sparse_categorical_accuracy", "0.987654"), ("f1", "1")]
    lines = _layout.pairs(rows, wide)
    assert " ".join(lines).split() == [word for row in rows for word in row]
    for line in lines:
        assert len(line) <= wide or len(line.strip().split()) == 1
    assert len(lines) == len(rows) or wide < 44


def test_a_result_is_aligned_lines(capsys):
    result = Result(None, "test", {"loss": 0.5, "accuracy": 0.987654321}, {"expect": [MET]})
    print_result(result, sys.stdout, as_json=False, heading=("of the test split:",))
    assert capsys.readouterr().out == (
        "of the test split:\nloss      0.5\naccuracy  0.987654\nexpected loss < 1: met\n"
    )


@pytest.mark.parametrize("as_json", [False, True])
def test_a_missed_expectation_is_printed_after_the_result(capsys, as_json):
    result = Result(None, "test", {"loss": 0.5}, {"expect": [MISSED]})
    with pytest.raises(click.exceptions.Exit) as end:
        print_result(result, sys.stdout, as_json=as_json)
    assert end.value.exit_code == 6
    out, err = capsys.readouterr()
    assert err == "expected loss < 0, found 0.5\n"
    if as_json:
        assert json.loads(out) == {
            **result.to_json(),
            "error": "expected loss < 0, found 0.5",
            "code": 6,
        }
    else:
        assert out == "loss  0.5\nexpected loss < 0: missed\n"
