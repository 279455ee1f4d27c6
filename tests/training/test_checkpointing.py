import numpy as np
import pytest

from fitx import checkpoint
from fitx.checkpoint.state_names import BEST, FINAL, part
from fitx.experiment.schema import Checkpoint
from fitx.training.checkpointing import CheckpointSaver
from fitx.training.state.snapshot import Snapshot


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Training:
    """What is saved: one network, whose state a test may change, and where the run stands."""

    def __init__(self, clock):
        self.clock, self.seconds = clock, 0.0
        self.step, self.phase = 0, "between"
        self.networks = {"networks/model/kernel": np.zeros(3, "float32")}
        self.others = {}

    def __call__(self):
        self.clock.now += self.seconds
        where = {"step": self.step, "phase": self.phase}
        return Snapshot({**self.networks, **self.others}, where)

    def at(self, step, phase="between"):
        self.step, self.phase = step, phase
        return self


@pytest.fixture
def saving(tmp_path):
    def saving(every="auto", sync=lambda: None, **settings):
        clock = Clock()
        checked = Checkpoint(every=every, **settings)
        made = CheckpointSaver(tmp_path / "checkpoints", checked, sync, "a1b2", clock)
        return made, clock, Training(clock)

    return saving


def saved(saver):
    saver.wait()
    return sorted(folder.name for folder in saver.folder.glob("0*"))


def test_every_so_many_steps(saving):
    saver, _, training = saving("3 steps")
    due = [done for done in range(1, 8) if saver.is_due_after_step(done)]
    assert due == [3, 6]
    assert [saver.steps_until_due(done) for done in (0, 1, 2, 3)] == [3, 2, 1, 3]
    assert not saver.is_due_after_epoch()


def test_every_so_many_minutes(saving):
    saver, clock, training = saving("2 minutes", keep=9)
    for done, seconds in enumerate([119, 2, 60, 58, 3], start=1):
        clock.now += seconds
        if saver.is_due_after_step(done):
            saver.save(training.at(done))
    assert saved(saver) == ["000002", "000005"]


def test_every_epoch(saving):
    saver, _, training = saving("epoch")
    assert saver.is_due_after_epoch()
    assert not saver.is_due_after_step(1)


def test_auto_saves_at_epoch_ends_while_that_costs_under_three_percent(saving):
    saver, clock, training = saving("auto", keep=9)
    training.seconds = 1.0
    saver.save(training.at(1))
    saver.wait()
    clock.now += 30
    assert not saver.is_due_after_epoch()
    clock.now += 400
    assert saver.is_due_after_epoch()


def test_auto_saves_within_a_long_epoch_every_five_minutes(saving):
    saver, clock, training = saving("auto", keep=9)
    for done in range(1, 8):
        clock.now += 100
        if saver.is_due_after_step(done):
            saver.save(training.at(done, "epoch"))
            saver.wait()
    assert saved(saver) == ["000003", "000006"]


def test_a_state_that_is_on_disk_is_not_written_again(saving):
    saver, _, training = saving("epoch")
    saver.save(training.at(5))
    saver.save(training.at(5))
    assert saved(saver) == ["000005"]


def test_the_end_of_an_epoch_is_another_state_than_its_last_step(saving):
    saver, _, training = saving("epoch")
    saver.save(training.at(5, "epoch"))
    saver.save(training.at(5, "between"))
    assert saved(saver) == ["000005", "000005-1"]


def test_only_the_newest_are_kept(saving):
    saver, _, training = saving("epoch", keep=2)
    for done in (1, 2, 3):
        saver.save(training.at(done))
    assert saved(saver) == ["000002", "000003"]


def test_what_a_checkpoint_relies_on_is_on_disk_before_it(saving):
    seen = []
    saver, _, training = saving("epoch", sync=lambda: seen.append(saver.folder.exists()))
    saver.save(training.at(1))
    saver.wait()
    assert seen == [False]


def test_what_is_saved_is_the_state_of_that_moment(saving):
    saver, _, training = saving("epoch")
    saver.save(training.at(1))
    training.networks = {"networks/model/kernel": np.ones(3, "float32")}
    saver.wait()
    state, meta = checkpoint.load(saver.last)
    assert not state["networks/model/kernel"].any()
    assert meta == {"step": 1, "phase": "between", "run": "a1b2"}


def test_networks_that_end_as_training_left_them_are_not_saved_twice(saving):
    saver, _, training = saving("epoch")
    saver.save(training.at(4))
    saver.save_final_weights(training.networks)
    assert saved(saver) == ["000004"]


def test_networks_that_end_otherwise_are_saved_beside_what_training_goes_on_from(saving):
    saver, _, training = saving("epoch", keep=1)
    training.others = {f"{BEST}kernel": np.full(3, 7.0)}
    saver.save(training.at(4))
    final = {"networks/model/kernel": np.ones(3, "float32")}
    saver.save_final_weights(final)
    assert saved(saver) == ["000004-1"]
    state, meta = checkpoint.load(saver.last)
    assert meta["step"] == 4
    assert not state["networks/model/kernel"].any()
    assert part(state, FINAL).keys() == final.keys()
    assert part(state, FINAL)["networks/model/kernel"].all()
    assert part(state, BEST).keys() == {"kernel"}


def test_a_run_that_goes_on_writes_nothing_that_is_there(saving):
    saver, clock, training = saving("epoch")
    saver.save(training.at(4))
    final = {"networks/model/kernel": np.ones(3, "float32")}
    saver.save_final_weights(final)
    state, meta = checkpoint.load(saver.last)
    again = CheckpointSaver(saver.folder, Checkpoint(every="epoch"))
    again.resume_from(saver.last, Snapshot(state, meta))
    again.save(training.at(4))
    again.save_final_weights(final)
    assert saved(again) == ["000004", "000004-1"]
