import random
import time

import numpy as np
import pytest

from fitx import checkpoint
from fitx.commands.selftest.interruptions import Instant, Interruption, plan


def planned(steps, steps_per_epoch, count, seed):
    return plan(steps, steps_per_epoch, count, random.Random(seed))


@pytest.mark.parametrize("seed", range(30))
def test_a_run_is_killed_at_the_end_of_an_epoch_and_stopped_within_epochs(seed):
    found = planned(steps=60, steps_per_epoch=20, count=4, seed=seed)
    steps = [one.step for one in found]
    assert steps == sorted(set(steps))
    assert [(one.step, one.every) for one in found if one.step % 20 == 0] in (
        [(20, "epoch")],
        [(40, "epoch")],
    )
    assert [one.every for one in found].count(None) == 3
    assert 0 < steps[0] < steps[-1] < 60


@pytest.mark.parametrize("seed", range(10))
def test_in_a_single_epoch_the_kill_comes_after_a_checkpoint_by_steps(seed):
    found = planned(steps=20, steps_per_epoch=20, count=3, seed=seed)
    (kill,) = (one for one in found if one.every)
    assert kill.every == f"{kill.step} steps"
    assert 7 <= kill.step < 20
    assert len(found) == 3


def test_the_only_interruption_is_a_kill_within_an_epoch():
    (only,) = planned(steps=60, steps_per_epoch=20, count=1, seed=0)
    assert only.every == f"{only.step} steps"


@pytest.mark.parametrize(("steps", "steps_per_epoch", "most"), [(2, 2, 1), (2, 1, 1), (4, 2, 3)])
def test_there_are_no_more_interruptions_than_steps_to_interrupt_at(steps, steps_per_epoch, most):
    assert len(planned(steps, steps_per_epoch, count=9, seed=0)) == most


def test_the_same_seed_chooses_the_same_steps():
    assert planned(90, 30, 5, seed=3) == planned(90, 30, 5, seed=3) != planned(90, 30, 5, seed=4)


def test_the_instant_of_a_kill_is_some_time_after_the_checkpoint(tmp_path):
    instant = Instant(tmp_path / "checkpoints", step=4, delay=0.01)
    assert not instant()
    checkpoint.save(tmp_path / "checkpoints", 3, {"w": np.zeros(1)}, {}, keep=9)
    assert not instant()
    checkpoint.save(tmp_path / "checkpoints", 5, {"w": np.zeros(1)}, {}, keep=9)
    assert not instant()
    time.sleep(0.01)
    assert instant()


def test_an_interruption_is_told_as_people_say_it():
    stopped = Interruption(1200, "epoch", killed=False, folder="001200")
    killed = Interruption(20, "between", killed=True, folder="000020")
    assert str(stopped) == "stopped after step 1,200"
    assert str(killed) == "killed between two epochs, after step 20"
    assert killed.to_json() == {"step": 20, "phase": "between", "killed": True}
