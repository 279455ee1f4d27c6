"""A resume with changes that is killed anywhere: the next one goes on as if it had not been."""

import json
import os
import shutil
import sys
from contextlib import suppress

import pytest

from fitx import checkpoint
from fitx.cli.display import NoDisplay
from fitx.commands.resume import resume
from fitx.commands.train import train
from fitx.errors import Interrupted
from fitx.rundir.saved_experiment import read_unimported
from fitx.training.resumption.resume_request import finished_result, open_for_resume
from fitx.training.train_request import TrainRequest

EVERY = bool(os.environ.get("FITX_SOAK"))
STOPPING = "callbacks=[{name: early_stopping, monitor: loss, min_delta: 99.0, patience: 0}]"

MONITOR = ("checkpoint.monitor=mae", "checkpoint.mode=max")

CHANGES = {
    "rate, mode and monitor": (
        ("checkpoint.monitor=loss",),
        ("optimizer.learning_rate=0.5", "execution.mode=fused", *MONITOR),
    ),
    "callbacks": ((STOPPING, "fit.epochs=5"), ("~callbacks",)),
    "batch size": ((), ("data.batch_size=4",)),
    "epochs of a finished run": ((), ("fit.epochs=4", "optimizer.learning_rate=0.5")),
}


class Copies:
    """Copies a run folder before every operation on a file of it, as a kill then would leave it."""

    def __init__(self):
        self.run, self.folder, self.last = None, None, {}
        sys.addaudithook(self._hear)

    def take(self, run, folder):
        folder.mkdir()
        self.run, self.folder, self.last = run, folder, {}

    def end(self):
        self.run = None
        return list(self.last.values())

    def _hear(self, event, arguments):
        is_writing = event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
        if event == "open":
            is_writing = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR))
        run = self.run
        if run is None or not is_writing or not str(arguments[0]).startswith(str(run)):
            return
        self.run = None
        copy = self.folder / f"{len(list(self.folder.iterdir())):03}"
        shutil.copytree(run, copy)
        self.last[_content(copy)] = copy
        self.run = run


def _content(run):
    files = [p for p in sorted(run.rglob("*")) if p.is_file() and ".tmp-" not in str(p)]
    return tuple((str(p.relative_to(run)), p.read_bytes()) for p in files)


@pytest.fixture(scope="module")
def copies():
    """There is one for all tests, as a hook cannot be removed."""
    return Copies()


def going_on(run, *words):
    with open_for_resume(run, words, allow_inexact=True) as request:
        resume(request, NoDisplay())


def outcome(run):
    """Return all that a run says and holds, but for times."""
    newest = checkpoint.newest(run / "checkpoints")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    facts = json.loads((run / "run.json").read_text())
    return (
        (run / "experiment.yaml").read_text(),
        {name: array.tobytes() for name, array in newest.state.items()},
        [{**line, "seconds": 0} for line in lines],
        {key: facts.get(key) for key in ("status", "mode", "best", "pending_experiment")},
    )


def has_trained(run, begun):
    """Whether a line of an epoch has been written since."""
    return len((run / "metrics.jsonl").read_bytes()) > len((begun / "metrics.jsonl").read_bytes())


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_is_made_whole_or_not_at_all(kind, tiny, tmp_path, copies):
    before, words = CHANGES[kind]
    request = TrainRequest(tmp_path / "runs", stop_after=None if "finished" in kind else 7)
    with suppress(Interrupted):
        train(tiny(*before, "execution.mode=plain"), request, NoDisplay())
    run = (tmp_path / "runs/tiny/latest").resolve()
    unchanged = shutil.copytree(run, tmp_path / "unchanged")
    copies.take(run, tmp_path / "killed")
    going_on(run, *words)
    killed = copies.end()
    if not EVERY:
        # Once it trains, a kill is one as of any run.
        killed = [copy for copy in killed if not has_trained(copy, unchanged)]
    if finished_result(unchanged) is None:
        going_on(unchanged)
    expected = [outcome(unchanged)]
    for copy in killed:
        if finished_result(copy) is None:
            going_on(copy)
        if read_unimported(copy).as_mapping() == read_unimported(run).as_mapping():
            expected = [outcome(run)]
        assert outcome(copy) in expected, copy
    assert expected == [outcome(run)]
