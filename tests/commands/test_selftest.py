"""The verdicts of the self-test, on quick runs that only count."""

import signal
import sys
import tempfile
from pathlib import Path

import pytest

from fitx.commands.selftest import SelftestRequest, selftest
from fitx.commands.selftest.trainings import Trainings
from fitx.errors import Interrupted, UsageError
from fitx.experiment.check import read
from fitx.training.child_process import ChildFailed, KilledFromOutside

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
def run_selftest(tmp_path, monkeypatch):
    """Run the self-test on counting instead of training; return the report and the notices."""
    file = tmp_path / "counter.yaml"
    file.write_text(EXPERIMENT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run_selftest(*words, changes=(), epochs=None, stops=3, seed=1, say=None):
        experiment = read(str(file), changes)
        request = SelftestRequest(
            experiment, [str(file), *words], epochs, stops, seed, COUNTER, ["-q"]
        )
        notices = []
        return selftest(request, say or notices.append), notices

    return run_selftest


def remaining(tmp_path):
    """Return the folders of self-tests that were not removed."""
    return list(tmp_path.glob("fitx-selftest-*"))


def test_a_run_that_ends_the_same_is_exact_and_leaves_nothing(run_selftest, tmp_path):
    report, notices = run_selftest()
    steps = ", ".join(str(one.step) for one in report.interruptions)
    assert report.text == (
        "exact: all 1 arrays and all logged values are equal to the bit; "
        f"interrupted at steps {steps}"
    )
    assert notices == [
        "counter: training 3 epochs, once straight and once interrupted",
        "straight: 24 steps, mode plain",
        *(f"interrupted: {one}" for one in report.interruptions),
    ]
    assert [one.killed for one in report.interruptions].count(True) == 1
    assert report.to_json() == {
        "experiment": "counter",
        "epochs": 3,
        "steps": 24,
        "mode": "plain",
        "seed": 1,
        "exact": True,
        "arrays": 1,
        "interruptions": [vars(one) for one in report.interruptions],
        "differences": [],
        "unreproducible": None,
        "kept": None,
    }
    assert not remaining(tmp_path)


def test_a_step_that_loses_state_on_resume_is_found(run_selftest, tmp_path):
    report, notices = run_selftest("fault=forgets")
    steps = ", ".join(str(one.step) for one in report.interruptions)
    assert report.text == (
        f"not exact: the training ends differently if it is interrupted at steps {steps}\n"
        f"first difference: {report.differences[0]}\n"
        f"first logged difference: {report.differences[1]}\n"
        "Resuming restores variables, lookup tables and keras.random.SeedGenerators of the step, "
        "the random states of Python and NumPy, and what get_state of each callback returns. Keep "
        "all state in one of these.\n"
        "To repeat this, add --seed 1.\n"
        f"The runs are kept in {report.kept}."
    )
    assert report.differences[0].startswith(
        "networks/model/count: 3 of 3 numbers differ, by at most "
    )
    assert report.differences[1].startswith("metrics.jsonl, epoch ")
    assert notices[-1] == "the results differ; training once more without interruptions"
    assert remaining(tmp_path) == [report.kept]
    assert report.to_json()["differences"] == report.differences
    assert (report.kept / "straight").is_dir()
    assert (report.kept / "interrupted").is_dir()


def test_a_single_interruption_finds_a_step_that_loses_state(run_selftest):
    report, _ = run_selftest("fault=forgets", stops=1)
    (only,) = report.interruptions
    assert only.killed
    assert f"if it is interrupted at step {only.step}\n" in report.text


def test_a_difference_in_logged_values_alone_is_found(run_selftest):
    report, _ = run_selftest("fault=logs", stops=2)
    places = {difference.partition(":")[0] for difference in report.differences}
    assert "summary.json" in places
    assert all(place.startswith(("metrics.jsonl, epoch ", "summary.json")) for place in places)


def test_an_experiment_that_never_gives_the_same_numbers_is_not_reproducible(run_selftest):
    report, _ = run_selftest("fault=chance", stops=1)
    assert report.text == (
        "not reproducible: two trainings differ even without an interruption\n"
        f"first difference: {report.unreproducible}\n"
        "Seed every random generator, or set execution.deterministic=true.\n"
        f"The runs are kept in {report.kept}."
    )
    assert report.unreproducible.startswith("networks/model/count: 3 of 3 numbers differ")
    assert report.to_json()["exact"] is False


def test_a_run_that_fails_only_after_an_interruption_is_kept(run_selftest, tmp_path):
    with pytest.raises(ChildFailed) as error:
        run_selftest("fault=fails", stops=1)
    (kept,) = remaining(tmp_path)
    first, second, third = str(error.value).splitlines()
    assert first == "KeyError: 'of the user'"
    assert second.startswith("The training fails only after it was killed between two epochs, ")
    assert third == f"The runs are kept in {kept}."
    assert error.value.exit_code == 1


def test_a_run_that_cannot_even_be_trained_says_so_once(run_selftest, tmp_path):
    with pytest.raises(ChildFailed, match="^nothing can be trained$") as error:
        run_selftest("fault=refuses")
    assert error.value.exit_code == 1
    assert not remaining(tmp_path)


@pytest.mark.parametrize("where", ["straight", "interrupted"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_training_killed_from_outside_is_not_blamed(run_selftest, tmp_path, where, number):
    with pytest.raises(KilledFromOutside) as error:
        run_selftest(f"fault=killed-{where}", f"signal={int(number)}")
    assert str(error.value).startswith(f"a training was ended by a {number.name} that ")
    assert error.value.exit_code == 4
    assert not remaining(tmp_path)


def test_the_mode_that_the_first_training_measured_holds_for_all(run_selftest):
    measure = "execution.mode=measure"
    report, notices = run_selftest(measure, changes=[measure], stops=1)
    assert notices[1] == "straight: 24 steps, mode xla"
    assert (report.kept, report.mode) == (None, "xla")


def test_an_experiment_of_one_epoch_is_trained_for_two(run_selftest):
    report, _ = run_selftest(changes=["fit.epochs=1"], stops=1)
    assert report.epochs == 2
    assert not report.differences


def test_a_training_that_a_callback_ends_in_its_first_epoch_is_refused(run_selftest, tmp_path):
    with pytest.raises(UsageError) as error:
        run_selftest("fault=ends")
    assert str(error.value) == (
        "a callback ended the training in its first epoch; the self-test needs two epochs."
    )
    assert not remaining(tmp_path)


def test_a_kill_that_comes_too_late_is_replaced_by_a_stop(run_selftest, monkeypatch):
    monkeypatch.setattr(Trainings, "_has_checkpoint", lambda *_: False)
    report, notices = run_selftest("fault=forgets", stops=3)
    assert notices[-2] == "interrupted: stopped after step 23"
    assert not any(one.killed for one in report.interruptions)
    assert report.differences


def test_a_training_that_ends_before_it_is_interrupted_proves_nothing(run_selftest, tmp_path):
    with pytest.raises(UsageError) as error:
        run_selftest("fault=hasty", stops=1)
    text = "the training ended before it was interrupted; try more --epochs."
    assert str(error.value) == text
    assert not remaining(tmp_path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("fit.epochs=0", "fit.epochs is 0, so there is no training to interrupt."),
        (
            "execution.strategy=multi_worker",
            "the self-test trains in a single process; test the step with "
            "`execution.strategy=mirrored execution.virtual_devices=2`.",
        ),
    ],
)
def test_an_experiment_that_cannot_be_tested_is_refused_before_anything_runs(
    run_selftest, tmp_path, change, text
):
    with pytest.raises(UsageError) as error:
        run_selftest(changes=[change])
    assert str(error.value) == text
    assert not remaining(tmp_path)


def test_an_end_in_the_middle_leaves_nothing(run_selftest, tmp_path):
    def say(text):
        if text.startswith("straight"):
            raise Interrupted("stopped by SIGTERM.", 15)

    with pytest.raises(Interrupted):
        run_selftest(say=say)
    assert not remaining(tmp_path)
