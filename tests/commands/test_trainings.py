import random

import pytest

from fitx.commands.selftest.trainings import Interruption, plan


def planned(epochs, steps_per_epoch, count, seed):
    lines = [{"step": steps_per_epoch * n, "seconds": 0.25} for n in range(1, epochs + 1)]
    return plan(lines, count, random.Random(seed))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("count", [1, 4])
def test_a_run_is_killed_after_the_checkpoint_of_an_epoch_and_stopped_at_other_steps(count, seed):
    interruptions = planned(epochs=3, steps_per_epoch=20, count=count, seed=seed)
    steps = [one.step for one in interruptions]
    assert steps == sorted(set(steps))
    assert len(steps) == count
    assert 0 < steps[0] <= steps[-1] < 60
    (kill,) = (one for one in interruptions if one.kill_delay is not None)
    assert kill.step in (20, 40)
    assert 0 <= kill.kill_delay <= 0.125


@pytest.mark.parametrize(("epochs", "steps_per_epoch", "most"), [(2, 1, 1), (2, 2, 3)])
def test_there_are_no_more_interruptions_than_steps_to_interrupt_at(epochs, steps_per_epoch, most):
    assert len(planned(epochs, steps_per_epoch, count=9, seed=0)) == most


def test_the_same_seed_chooses_the_same_moments():
    assert planned(3, 30, 5, seed=3) == planned(3, 30, 5, seed=3) != planned(3, 30, 5, seed=4)


@pytest.mark.parametrize(
    ("interruption", "text"),
    [
        (Interruption(1200, "epoch", killed=False), "stopped after step 1,200"),
        (
            Interruption(20, "validation", killed=False),
            "stopped within the validation after step 20",
        ),
        (Interruption(20, "between", killed=True), "killed between two epochs, after step 20"),
    ],
)
def test_an_interruption_is_described_by_its_place(interruption, text):
    assert str(interruption) == text
