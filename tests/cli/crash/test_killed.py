"""A run that is killed and stopped again and again ends as the run that was left alone."""

import random
import signal
import statistics
import time

import pytest

from fitx.checkpoint.folders import order

WRITE_SECONDS = 0.01
"""About what the commit of a checkpoint takes."""
STEP_SECONDS = 0.03
MARGIN = 20
"""Steps before the end of the training; what ends a run at its very end is in test_phases.py."""


def kill(chain, process, draw):
    process.send(signal.SIGKILL)


def kill_in_a_write(chain, process, draw):
    """Kill while a checkpoint has its temporary name."""
    while True:
        process.wait_until(lambda: chain.checkpoints()[1], pause=0)
        process.send(signal.SIGSTOP)
        if chain.checkpoints()[1]:
            break
        process.send(signal.SIGCONT)
    process.send(signal.SIGKILL)


def kill_about_a_write(chain, process, draw):
    """Kill while a checkpoint has its temporary name, or when it has just got its own."""
    process.wait_until(lambda: chain.checkpoints()[1], pause=0)
    time.sleep(draw.uniform(0, WRITE_SECONDS))
    process.send(signal.SIGKILL)


def term(chain, process, draw):
    process.send(signal.SIGTERM)


def interrupt(chain, process, draw):
    process.send(signal.SIGINT)


def too_short_a_grace(chain, process, draw):
    process.send(signal.SIGTERM)
    time.sleep(draw.uniform(0, 0.2))
    process.send(signal.SIGKILL)


CODES = {"term": 143, "interrupt": 130}
KILLS = ("kill", "kill_in_a_write", "kill_about_a_write")
FEW = (kill, kill_in_a_write, kill_about_a_write, term, interrupt, too_short_a_grace)
MANY = (kill,) * 10 + (kill_in_a_write, kill_about_a_write, term) * 5
MANY += (interrupt, too_short_a_grace) * 2


def act(chain, ways, last, seed):
    """End one run in many ways, at instants that are spread evenly over its training."""
    draw = random.Random(seed)
    ways = draw.sample(ways, len(ways))
    instants = sorted(draw.randrange(1, last - MARGIN) for _ in ways)
    for way, instant in zip(ways, instants, strict=True):
        step = max(instant, chain.newest[0] + 1)
        process = chain.start()
        process.wait_until(lambda step=step: chain.newest[0] >= step)
        time.sleep(draw.uniform(0, STEP_SECONDS))
        way(chain, process, draw)
        chain.end(way.__name__, process)
    return chain.finish()


@pytest.fixture(scope="module")
def acts(chain, crew, times, left_alone):
    """Runs that are ended: one in `make check`, ten of four kinds in `make soak`."""
    kinds = times(["plain"], ["plain"] * 4 + ["fused_xla", "half", "pair"] * 2)
    ways, last = times(FEW, MANY), times(7, 40) * 15
    for kind in kinds:
        left_alone(kind)
    return [
        (kind, crew.submit(lambda k=kind, s=seed: act(chain(k), ways, last, s)))
        for seed, kind in enumerate(kinds)
    ]


@pytest.fixture(scope="module")
def ended(acts):
    """Every process that did not bring its run to the end."""
    return [one for _, future in acts for one in future.result().ended]


def of(ended, *ways):
    found = [one for one in ended if one.way in ways]
    assert found
    return found


def test_every_run_ends_as_if_nobody_had_ended_it(acts, left_alone):
    for seed, (kind, future) in enumerate(acts):
        different = left_alone(kind).result().result.differences(future.result().result)
        assert not different, f"{kind} with seed {seed}"


def test_nothing_temporary_is_left(acts):
    for _, future in acts:
        assert not list(future.result().folder.rglob(".tmp-*"))


def test_every_process_was_ended_as_it_was_meant_to_be(ended, acts, times):
    meant = [way.__name__ for way in times(FEW, MANY)] * len(acts)
    assert sorted(one.way for one in ended) == sorted(meant)
    assert all(one.code == -signal.SIGKILL for one in of(ended, *KILLS))


def test_some_were_killed_in_the_middle_of_a_write(ended):
    assert all(one.unborn for one in of(ended, "kill_in_a_write"))


def test_a_killed_run_says_running_and_is_known_to_be_killed(ended):
    for one in of(ended, *KILLS):
        assert (one.said, one.known) == ("running", "killed")


def test_a_run_goes_on_from_the_newest_checkpoint_there_was(acts):
    for _, future in acts:
        chain = future.result()
        begun = [one.resumed for one in chain.ended[1:]] + [chain.record["resumed"][-1]["from"]]
        assert begun == [one.newest for one in chain.ended]
        steps = [order(name) for name in begun]
        assert steps == sorted(set(steps))


def test_a_stopped_run_says_so_with_its_code_and_a_line(ended):
    for one in of(ended, *CODES):
        name = {"term": "SIGTERM", "interrupt": "SIGINT"}[one.way]
        assert (one.code, one.said, one.out) == (CODES[one.way], "interrupted", "")
        told = f"stopped by {name} after step {order(one.newest)[0]}; checkpoint {one.newest} is"
        assert f"{told} whole." in one.err.splitlines()


def test_a_stopped_run_ends_within_a_step_a_checkpoint_and_a_second(ended):
    seconds = sorted(one.seconds for one in of(ended, *CODES))
    print("seconds to the end:", [round(one, 2) for one in seconds])
    # The slowest waits for a core as well, where the machine does other things.
    assert statistics.median(seconds) < 11
    assert seconds[-1] < 30


def test_nobody_saw_a_traceback(ended):
    for one in ended:
        assert "Traceback" not in one.err + one.out
        assert "Exception ignored" not in one.err + one.out
