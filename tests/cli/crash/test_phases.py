"""A run that is ended while something other than a step goes on, and one that others ask for."""

import json
import re
import resource
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..conftest import WAITED

SMALL = 1 << 14
"""Bytes that take any file of the run but a checkpoint."""


def stop_while(place, number):
    """Send a signal while a run waits at a place; a run hears it when it goes on."""

    def stop(chain):
        process = chain.start(hold=place)
        process.wait_for(f"holding {place}")
        process.send(number)
        time.sleep(0.1)
        chain.go()
        chain.end(f"{place} {number.name}", process)

    return stop


def hang_up(chain):
    """Send what a terminal sends when it is closed."""
    process = chain.start()
    process.wait_until(lambda: chain.newest[0] >= chain.began[0] + 10)
    process.send(signal.SIGHUP)
    chain.end("SIGHUP", process)


def stop_in_the_test(chain):
    """Stop a run as soon as its networks have been written, once more."""
    best = chain.run / "networks/best/model.keras"
    before = best.stat().st_ino
    process = chain.start()
    process.wait_until(lambda: best.stat().st_ino != before)
    process.send(signal.SIGTERM)
    chain.end("test SIGTERM", process)


def kill_at_birth(chain):
    """Kill a run as soon as there is a folder of it, with or without a record in it."""
    process = chain.start()
    process.wait_until(lambda: any(chain.folder.glob("runs/*/2*")), pause=0)
    process.send(signal.SIGKILL)
    chain.end("birth SIGKILL", process)


def fill_the_disk(chain):
    """Let no file grow so large as a checkpoint is; all others may."""
    process = chain.start()
    process.wait_until(lambda: chain.newest[0] >= chain.began[0] + 10)
    resource.prlimit(process.popen.pid, resource.RLIMIT_FSIZE, (SMALL, SMALL))
    chain.end("full", process)


def fill_the_disk_in_the_export(chain):
    """Let no file grow at all, from when the networks are written on."""
    process = chain.start(hold="export")
    process.wait_for("holding export")
    resource.prlimit(process.popen.pid, resource.RLIMIT_FSIZE, (1, 1))
    chain.go()
    chain.end("full in the export", process)


def block_the_checkpoints(chain):
    """Put a file in the place of their folder: not even root can write into that."""
    process = chain.start()
    process.wait_until(lambda: chain.newest[0] >= chain.began[0] + 10)
    folder, aside = chain.run / "checkpoints", chain.folder / "aside"
    process.popen.send_signal(signal.SIGSTOP)
    folder.rename(aside)
    folder.touch()
    process.popen.send_signal(signal.SIGCONT)
    process.end()
    folder.unlink()
    aside.rename(folder)
    chain.end("blocked", process)


def be_challenged(chain):
    """Train while others try to train the same run, measure it and look at it; be stopped."""
    process = chain.start(hold="validation")
    process.wait_for("holding validation")
    run = str(chain.run.relative_to(chain.folder))
    words = {
        "auto": chain.words,
        "evaluate": ("evaluate", run, "--json"),
        "checkpoints": ("checkpoints", run, "--json"),
    }
    asked = [("resume", ("resume", run))] * 3 + list(words.items())
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda one: (one[0], *answer(chain, one[1])), asked)
        chain.answers = list(answers)
    chain.holder = process.popen.pid
    process.send(signal.SIGTERM)
    time.sleep(0.1)
    chain.go()
    chain.end("validation SIGTERM", process)


def answer(chain, words):
    """Run a command to its end; return what it left and the seconds it took.

    Only `evaluate` finds a TensorFlow to import.
    """
    environment = dict(chain.environment)
    if words[0] != "evaluate":
        poison = chain.folder / "poison"
        poison.mkdir(exist_ok=True)
        (poison / "tensorflow.py").write_text("raise SystemExit('imported')")
        environment["PYTHONPATH"] = f"{poison}:{environment.get('PYTHONPATH', '')}"
    began = time.monotonic()
    pipes = {"capture_output": True, "text": True, "check": False, "timeout": 300}
    command = [*chain.command, *words]
    done = subprocess.run(command, cwd=chain.folder, env=environment, **pipes)
    return done, time.monotonic() - began


def start_two_at_once(chain):
    """Let two go on with a run; kill the one that does when the other has gone."""
    run = str(chain.run.relative_to(chain.folder))
    pair = [chain.start("resume", run, hold="epoch end") for _ in range(2)]
    while all(process.popen.poll() is None for process in pair):
        time.sleep(0.005)
    refused, winner = sorted(pair, key=lambda process: process.popen.poll() is None)
    chain.refused.append((refused.end()[0], refused.err, winner.popen.pid))
    winner.wait_for("holding epoch end")
    winner.send(signal.SIGKILL)
    chain.end("epoch end SIGKILL", winner)


TRAINING = (
    stop_while("build", signal.SIGTERM),
    kill_at_birth,
    be_challenged,
    start_two_at_once,
    fill_the_disk,
    block_the_checkpoints,
)
ENDING = (
    hang_up,
    stop_while("export", signal.SIGKILL),
    fill_the_disk_in_the_export,
    stop_while("export", signal.SIGTERM),
    stop_in_the_test,
)


def act(chain, scenes):
    chain.refused = []
    for scene in scenes:
        chain.began = chain.newest
        scene(chain)
    return chain.finish()


@pytest.fixture(scope="module")
def acts(chain, crew, times, left_alone):
    """Two runs in `make check`, more in `make soak`; in that ten pairs ask for one of them."""
    left_alone("plain")
    many = (be_challenged, *[start_two_at_once] * 10, *TRAINING[4:])
    scenes = times([TRAINING, ENDING], [TRAINING, many, *[TRAINING, ENDING] * 3])
    return [crew.submit(lambda s=scene: act(chain(), s)) for scene in scenes]


@pytest.fixture(scope="module")
def ended(acts):
    """Every process that did not bring its run to the end."""
    return [one for future in acts for one in future.result().ended]


@pytest.fixture(scope="module")
def answers(acts):
    """What others heard who asked for a run while it was trained, the trainer's id first."""
    chains = [future.result() for future in acts]
    return [(c.holder, *answer) for c in chains if hasattr(c, "answers") for answer in c.answers]


def of(ended, *ways):
    found = [one for one in ended if one.way in ways]
    assert {one.way for one in found} == set(ways)
    return found


def test_every_run_ends_as_if_nobody_had_ended_it(acts, left_alone):
    for future in acts:
        assert not left_alone("plain").result().result.differences(future.result().result)


def test_nothing_temporary_is_left(acts):
    for future in acts:
        left = future.result().folder.rglob(".tmp-*")
        # A process that was killed before its run had a record left a folder that is no run.
        inside = [path for path in left if any((up / "run.json").exists() for up in path.parents)]
        assert not inside


def test_nobody_saw_a_traceback(ended):
    for one in ended:
        assert "Traceback" not in one.err + one.out
        assert "Exception ignored" not in one.err + one.out


def test_before_there_is_a_run_a_signal_ends_the_command_and_leaves_nothing(ended):
    for one in of(ended, "build SIGTERM"):
        assert (one.code, one.said, one.out) == (143, "", "")
        assert WAITED.sub("", one.err).strip() == "holding build"


@pytest.mark.parametrize(
    ("way", "code"),
    [
        ("validation SIGTERM", 143),
        ("export SIGTERM", 143),
        ("test SIGTERM", 143),
        ("SIGHUP", 129),
    ],
)
def test_a_run_stops_wherever_it_is_and_what_it_wrote_is_whole(ended, way, code):
    for one in of(ended, way):
        assert (one.code, one.said, one.unborn) == (code, "interrupted", 0)
        name = way.split()[-1]
        step = int(one.newest[:6])
        told = f"stopped by {name} after step {step}; checkpoint {one.newest} is whole."
        assert told in one.err.splitlines()
        assert one.err.splitlines()[-1].startswith("resume with: fitx resume ")
        assert one.seconds < 30


def test_a_validation_is_stopped_in_the_middle(ended):
    assert {one.newest for one in of(ended, "validation SIGTERM")} == {"000015-1"}


def test_a_kill_leaves_no_network_under_its_own_name_that_is_not_whole(ended):
    for one in of(ended, "export SIGKILL"):
        assert (one.code, one.said, one.known) == (-signal.SIGKILL, "running", "killed")
        assert not one.networks


def test_a_full_disk_ends_a_run_with_one_line_and_keeps_what_was_there(ended):
    for one in of(ended, "full"):
        assert (one.code, one.said, one.unborn) == (7, "failed", 0)
        told, run = one.err.splitlines()[-2:]
        assert told.startswith("cannot write checkpoint ")
        assert told.endswith(": File too large. Earlier checkpoints are untouched.")
        assert run.startswith("run: ")


def test_a_disk_without_any_room_takes_nothing_and_hurts_nothing(ended):
    for one in of(ended, "full in the export"):
        assert (one.code, one.said, one.known, one.networks) == (7, "running", "killed", ())
        told, then, run = one.err.splitlines()[-3:]
        assert re.fullmatch(r"cannot write runs/.+/networks/model\.keras: File too large.*", told)
        assert re.fullmatch(r"cannot write runs/.+/run\.json: File too large.*", then)
        assert run.startswith("run: ")


def test_a_folder_that_cannot_be_written_to_ends_a_run_with_one_line(ended):
    for one in of(ended, "blocked"):
        assert (one.code, one.said) == (7, "failed")
        told, run = one.err.splitlines()[-2:]
        reasons = "File exists|Not a directory"
        found = rf"cannot (write checkpoint|read) runs/lasting/.+/checkpoints.*: ({reasons}).*"
        assert re.fullmatch(found, told)
        assert run.startswith("run: ")


def test_whoever_asks_for_a_run_that_is_trained_is_told_at_once_by_whom(answers):
    asked = [answer for answer in answers if answer[1] in ("resume", "auto")]
    assert len(asked) >= 4
    for holder, _, done, _ in asked:
        assert done.returncode == 8
        assert f"is in use by process {holder} on {socket.gethostname()} since 20" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    seconds = sorted(seconds for *_, seconds in asked)
    print("seconds to the refusal:", [round(one, 2) for one in seconds])
    # The others may have waited for a core.
    assert seconds[0] < 20


def test_a_run_can_be_looked_at_while_it_is_trained(answers):
    found = {name: done for _, name, done, _ in answers if name in ("evaluate", "checkpoints")}
    assert [done.returncode for done in found.values()] == [0, 0]
    assert json.loads(found["checkpoints"].stdout)["status"] == "running"
    assert json.loads(found["evaluate"].stdout)["checkpoint"] == "000015"


def test_of_two_that_go_on_with_one_run_one_does_and_the_other_is_told(acts, times):
    refused = [one for future in acts for one in future.result().refused]
    assert len(refused) == times(1, 14)
    for code, told, holder in refused:
        assert code == 8
        assert f"is in use by process {holder} on {socket.gethostname()} since 20" in told
