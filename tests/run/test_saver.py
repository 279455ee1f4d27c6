import numpy as np
import pytest

from fitx import checkpoint
from fitx.build.make import make
from fitx.experiment.schema import Checkpoint
from fitx.run.best import Best
from fitx.run.saver import BEST, FINAL, Saver, part
from fitx.run.state import network_state, variables


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Slow:
    """A place to stand that takes a second to describe, as a slow disk takes to write."""

    def __init__(self, clock, seconds=0.0):
        self.clock, self.seconds, self.asked = clock, seconds, 0

    def __call__(self):
        self.clock.now += self.seconds
        self.asked += 1
        return {"asked": self.asked}


@pytest.fixture
def step(tiny):
    return make(tiny()).step


@pytest.fixture
def saver(tmp_path, step):
    def saver(every="auto", **settings):
        checked = Checkpoint(every=every, **settings)
        clock = Clock()
        made = Saver(tmp_path / "checkpoints", step, checked, Best(checked), clock)
        return made, clock

    return saver


def saved(saver):
    return sorted(folder.name for folder in saver.folder.glob("0*"))


def test_every_so_many_steps(saver):
    one, clock = saver("3 steps", keep=9)
    for done in range(1, 8):
        one.after_step(done, dict)
        one.after_epoch(done, dict)
    assert saved(one) == ["000003", "000006"]


def test_every_so_many_minutes(saver):
    one, clock = saver("2 minutes", keep=9)
    for done, seconds in enumerate([119, 2, 60, 58, 3], start=1):
        clock.now += seconds
        one.after_step(done, dict)
    assert saved(one) == ["000002", "000005"]


def test_every_epoch(saver):
    one, _ = saver("epoch", keep=9)
    for done in range(1, 5):
        one.after_step(done, dict)
        if done % 2 == 0:
            one.after_epoch(done, dict)
    assert saved(one) == ["000002", "000004"]


def test_auto_saves_at_epoch_ends_while_that_costs_under_three_percent(saver):
    one, clock = saver("auto", keep=9)
    slow = Slow(clock, seconds=1)
    one.after_epoch(1, slow)
    clock.now += 30
    one.after_epoch(2, slow)
    assert saved(one) == ["000001"]
    clock.now += 4
    one.after_epoch(3, slow)
    assert saved(one) == ["000001", "000003"]


def test_auto_saves_within_a_long_epoch_every_five_minutes(saver):
    one, clock = saver("auto", keep=9)
    for done in range(1, 8):
        clock.now += 100
        one.after_step(done, dict)
    assert saved(one) == ["000003", "000006"]


def test_a_state_that_is_on_disk_is_not_written_again(saver):
    one, clock = saver("epoch")
    about = Slow(clock)
    one.save(5, about)
    one.save(5, about)
    assert about.asked == 1
    assert saved(one) == ["000005"]


def test_only_the_newest_are_kept(saver):
    one, _ = saver("epoch", keep=2)
    for done in (1, 2, 3):
        one.after_epoch(done, dict)
    assert saved(one) == ["000002", "000003"]


def test_a_checkpoint_holds_every_variable_where_the_run_stands_and_the_best_weights(saver, step):
    one, clock = saver("epoch", monitor="val_loss", mode="min")
    one.best.see(1, {"val_loss": 2.0}, step)
    best = network_state(step)
    for variable in step.networks["model"].trainable_variables:
        variable.assign_add(np.ones(variable.shape))
    one.best.see(2, {"val_loss": 3.0}, step)
    one.save(7, lambda: {"epoch": 2})
    state, meta = checkpoint.load(one.last)
    assert meta == {"epoch": 2, "best": {"monitor": "val_loss", "epoch": 1, "value": 2.0}}
    assert one.last_best == meta["best"]
    assert part(state, BEST).keys() == best.keys()
    assert all(np.array_equal(part(state, BEST)[name], best[name]) for name in best)
    rest = {name for name in state if not name.startswith(BEST)}
    assert rest == variables(step).keys()
    assert any(name.startswith("optimizers/model/") for name in rest)


def test_values_that_have_changed_since_are_saved_as_they_were(saver, step):
    one, _ = saver("epoch")
    name = next(iter(network_state(step)))
    earlier = {name: np.full(variables(step)[name].shape, 42, "float32")}
    one.save(1, dict, earlier)
    state, _ = checkpoint.load(one.last)
    assert (state[name] == 42).all()


def test_networks_that_end_as_training_left_them_are_not_saved_twice(saver):
    one, _ = saver("epoch")
    one.save(4, dict)
    one.finish(4)
    assert saved(one) == ["000004"]


def test_networks_that_end_otherwise_are_saved_beside_what_training_goes_on_from(saver, step):
    one, _ = saver("epoch", keep=1, monitor="loss", mode="min")
    one.best.see(1, {"loss": 1.0}, step)
    one.save(4, lambda: {"epoch": 1})
    trained = network_state(step)
    for variable in step.networks["model"].trainable_variables:
        variable.assign_add(np.ones(variable.shape))
    one.finish(4)
    assert saved(one) == ["000004-1"]
    state, meta = checkpoint.load(one.last)
    assert meta["epoch"] == 1
    assert all(np.array_equal(state[name], trained[name]) for name in trained)
    final = network_state(step)
    assert part(state, FINAL).keys() == final.keys()
    assert all(np.array_equal(part(state, FINAL)[name], final[name]) for name in final)
    assert part(state, BEST).keys() == final.keys()
