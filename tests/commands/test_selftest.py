"""What `fitx selftest` makes of the runs that it compares; quick ones, that only count."""

import signal
import sys
import tempfile
from pathlib import Path

import pytest

from fitx.commands.selftest import Order, selftest, trainings
from fitx.commands.selftest.child import ChildFailed, KilledFromOutside
from fitx.errors import Interrupted, UsageError
from fitx.experiment.check import read

COUNTER = [sys.executable, str(Path(__file__).with_name("counter.py"))]
EXPERIMENT = """
name: counter
step: supervised
model: linear
optimizer: adam
loss: mse
data: {name: random, rows: 64, features: 4, batch_size: 8}
fit: {epochs: 9}
"""


@pytest.fixture
def tried(tmp_path, monkeypatch):
    """Try counting instead of training; return the report and what was said meanwhile."""
    file = tmp_path / "counter.yaml"
    file.write_text(EXPERIMENT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def tried(*words, changes=(), epochs=None, stops=3, seed=1, say=None):
        experiment = read(str(file), changes)
        order = Order(experiment, [str(file), *words], epochs, stops, seed, COUNTER, ["-q"])
        said = []
        return selftest(order, say or said.append), said

    return tried


def left(tmp_path):
    """What is left of the folders in which it was tried."""
    return list(tmp_path.glob("fitx-selftest-*"))


def test_a_run_that_ends_the_same_is_exact_and_leaves_nothing(tried, tmp_path):
    report, said = tried()
    steps = ", ".join(str(one.step) for one in report.interruptions)
    assert report.text == (
        f"exact: 1 array is equal to the bit after 3 interruptions (steps {steps})"
    )
    assert said == [
        "counter: 3 of 9 epochs, interrupted at steps chosen by --seed 1",
        "straight: 24 steps, mode plain",
        *(f"interrupted: {one}" for one in report.interruptions),
    ]
    assert [one.killed for one in report.interruptions].count(True) == 1
    assert report.to_json() == {
        "experiment": "counter",
        "epochs": 3,
        "steps": 24,
        "mode": "plain",
        "changes": [],
        "seed": 1,
        "exact": True,
        "arrays": 1,
        "interruptions": [one.to_json() for one in report.interruptions],
        "differences": [],
        "kept": None,
    }
    assert not left(tmp_path)


def test_the_first_interruption_after_which_a_run_differs_is_named(tried, tmp_path):
    report, said = tried("fault=forgets", stops=3)
    first, second, _ = report.interruptions
    lines = report.text.splitlines()
    steps = ", ".join(str(one.step) for one in report.interruptions)
    assert lines[0] == (
        "not exact: the run does not end as it would have ended after 3 interruptions "
        f"(steps {steps})"
    )
    assert lines[1].startswith("first: networks/model/count: 3 of 3 numbers differ, by at most ")
    assert lines[2] == f"seen at step {second.step}, after the run was {first}"
    assert lines[3].startswith("hint: the training depends on what fitx cannot see")
    assert lines[4:] == ["repeat: --seed 1", f"kept: {report.kept}"]
    assert said[-1] == "they differ; looking for the interruption to blame"
    assert left(tmp_path) == [report.kept]
    assert report.to_json()["differences"][0].startswith("networks/model/count: 3 of 3 numbers")
    assert (report.kept / "straight").is_dir()
    assert (report.kept / "interrupted").is_dir()


def test_a_callback_of_which_nothing_is_kept_is_named(tried):
    report, _ = tried("fault=forgets", "callback=1", stops=1)
    (only,) = report.interruptions
    lines = report.text.splitlines()
    assert lines[2] == f"seen at the end, after the run was {only}"
    assert lines[3].endswith("so what it remembers is lost: Forgetful")


def test_a_difference_of_what_is_logged_alone_is_found(tried):
    report, _ = tried("fault=logs", stops=2)
    assert {one.kind for one in report.differences} == {"journal", "values"}
    assert "in metrics.jsonl: count: " in report.text
    assert "hint: all arrays are the same" in report.text


def test_an_experiment_that_never_gives_the_same_numbers_is_told_apart(tried):
    report, _ = tried("fault=chance", stops=1)
    assert report.text.splitlines()[1].startswith(
        "no interruption is to blame: two runs without one differ too, first networks/model/count"
    )


def test_a_run_that_fails_only_after_an_interruption_is_kept(tried, tmp_path):
    with pytest.raises(ChildFailed) as error:
        tried("fault=fails", stops=1)
    (kept,) = left(tmp_path)
    first, second = str(error.value).splitlines()
    assert first == "KeyError: 'of the user'"
    assert second.startswith("it fails only after it was killed after step ")
    assert second.endswith(f"; kept: {kept}")
    assert error.value.exit_code == 1


def test_a_run_that_cannot_even_be_trained_says_so_once(tried, tmp_path):
    with pytest.raises(ChildFailed, match="^nothing can be trained$") as error:
        tried("fault=refuses")
    assert error.value.exit_code == 1
    assert not left(tmp_path)


@pytest.mark.parametrize("where", ["straight", "interrupted"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_killed_from_outside_is_not_blamed(tried, tmp_path, where, number):
    with pytest.raises(KilledFromOutside) as error:
        tried(f"fault=killed-{where}", f"signal={int(number)}")
    assert str(error.value).startswith(
        f"a training was ended by a {number.name} that the test did not send, which proves nothing"
    )
    assert error.value.exit_code == 4
    assert not left(tmp_path)


def test_long_epochs_are_cut_short_in_all_runs_alike(tried, monkeypatch):
    monkeypatch.setattr(trainings, "MOST_STEPS", 5)
    report, said = tried("rows=8000", epochs=2)
    assert said[1:3] == ["for this test: fit.steps_per_epoch=5", "straight: 10 steps, mode plain"]
    assert report.to_json()["changes"] == ["fit.steps_per_epoch=5"]
    assert not report.differences


def test_what_was_measured_once_holds_for_all_runs(tried):
    measure = "execution.mode=measure"
    report, said = tried(measure, changes=[measure], stops=1, epochs=1)
    assert said[1:3] == ["for this test: execution.mode=xla", "straight: 8 steps, mode xla"]
    assert not report.differences


def test_a_training_of_one_step_cannot_be_interrupted(tried):
    with pytest.raises(UsageError, match="^the training has a single step, so it cannot be"):
        tried("rows=8", epochs=1)


def test_a_training_that_is_over_before_it_can_be_killed_proves_nothing(tried, tmp_path):
    with pytest.raises(UsageError) as error:
        tried("fault=hasty", stops=1)
    text = "the training was over before it could be killed; try more --epochs."
    assert str(error.value) == text
    assert not left(tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("fit.epochs=0", "fit.epochs is 0, so there is no training to interrupt."),
        (
            "execution.strategy=multi_worker",
            "the test trains in one process; try the step with `execution.strategy=mirrored "
            "execution.virtual_devices=2`.",
        ),
    ],
)
def test_what_cannot_be_tried_is_refused_before_anything_runs(tried, tmp_path, change, text):
    with pytest.raises(UsageError) as error:
        tried(changes=[change])
    assert str(error.value) == text
    assert not left(tmp_path)


def test_an_end_in_the_middle_leaves_nothing(tried, tmp_path):
    def say(text):
        if text.startswith("straight"):
            raise Interrupted("stopped by SIGTERM.", 15)

    with pytest.raises(Interrupted):
        tried(say=say)
    assert not left(tmp_path)
