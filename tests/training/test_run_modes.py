"""A run is the same in whatever mode its steps are executed."""

import numpy as np
import pytest

from fitx import checkpoint

WORDS = ("fit.epochs=8", "checkpoint={every: 7 steps, keep: 10}", "data.batch_size=7")
"""48 steps, six an epoch, the last of each with five rows."""


@pytest.fixture
def runs(tiny, trained):
    """The run of one experiment in each mode that computes bit for bit the same."""

    def runs(*words):
        return [trained(tiny(*words, f"execution.mode={mode}"))[0] for mode in ("plain", "fused")]

    return runs


def test_checkpoints_by_steps_are_written_at_exactly_those_steps_and_hold_the_same(runs):
    plain, fused = runs(*WORDS)

    for run in (plain, fused):
        folders = sorted(path.name for path in (run.folder / "checkpoints").iterdir())
        assert folders == [f"{step:06}" for step in (7, 14, 21, 28, 35, 42, 48)]
    for name in folders:
        states = [checkpoint.load(run.folder / "checkpoints" / name) for run in (plain, fused)]
        (one, about), (other, same) = states
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one)
        assert about["step"] == int(name)
        assert all(about[key] == same[key] for key in ("epoch", "step", "phase"))


def test_epochs_count_the_same_steps_and_log_the_same_values(runs):
    plain, fused = runs(*WORDS, "fit.validation_freq=2")

    assert [line["step"] for line in fused.epochs] == list(range(6, 49, 6))
    assert len(fused.epochs) == 8
    for one, other in zip(plain.epochs, fused.epochs, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert [run.record["mode"] for run in (plain, fused)] == ["plain", "fused"]
    assert plain.record["best"] == fused.record["best"]
    assert plain.json("summary.json").keys() == fused.json("summary.json").keys()


@pytest.mark.parametrize("steps", [4, 9])
def test_an_epoch_may_be_shorter_or_longer_than_a_pass_over_the_data(runs, steps):
    plain, fused = runs(*WORDS, f"fit.steps_per_epoch={steps}")

    assert [line["step"] for line in fused.epochs] == [steps * n for n in range(1, 9)]
    for one, other in zip(plain.epochs, fused.epochs, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_early_stopping_ends_both_at_the_same_epoch(runs):
    stop = "callbacks=[{name: early_stopping, monitor: loss, patience: 0, min_delta: 0.2}]"
    plain, fused = runs(*WORDS, "fit.epochs=50", stop)

    assert 1 < len(plain.epochs) == len(fused.epochs) < 50
