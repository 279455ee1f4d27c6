import gc
import json
import os
import signal
import sys
from pathlib import Path

import pytest

RECORD = json.loads(Path(__file__).with_name("run_record.json").read_text())

LONGEST = (
    *("test_restored.py", "test_phases.py", "test_configs.py", "test_killed.py", "test_pages.py"),
    *("test_multi_worker.py", "test_modes.py", "test_changed_runs.py", "test_signals.py"),
    *("test_metrics_and_labels.py", "test_mirrored.py", "test_killed_changes.py"),
    *("test_forged_folders.py", "test_losses_and_labels.py", "test_callbacks_that_ask.py"),
)
"""The files of tests that take longest, about half a minute and more, in this order."""

TINY = """
name: tiny
step: supervised
model: {name: sequential, layers: [{name: dense, units: 3}, {name: dense, units: 1}]}
optimizer: {name: adam, learning_rate: 0.01}
loss: mse
metrics: [mae]
data: {name: npz, path: tiny.npz, batch_size: 8}
fit: {epochs: 3}
checkpoint: {monitor: val_loss}
"""


def pytest_configure():
    """Let the tests' processes hear of signals, however the tests were started.

    A script's `&` starts its commands with SIGINT ignored, `nohup` with SIGHUP, and what is ignored
    is inherited; what is handled is not. Hang-ups and terminations go on doing nothing here.
    """
    handlers = dict.fromkeys((signal.SIGHUP, signal.SIGTERM), lambda *_: None)
    for number, handler in {signal.SIGINT: signal.default_int_handler, **handlers}.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items):
    """Begin with the longest files, so that no process ends long after the other."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def times():
    """How often to try something: `times(8, 200)` is 8, and 200 in `make soak`."""
    return lambda small, large: large if os.environ.get("FITX_SOAK") else small


@pytest.fixture(scope="session")
def whole_record():
    """Return what run.json says of a run, but for its status; with some of it changed."""
    return lambda **facts: {**RECORD, **facts}


@pytest.fixture(autouse=True)
def precision():
    """Put back the precision that a test has set for its process."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def out_of_the_collectors_way():
    """Let the garbage collector pass over the graphs that a module's tests leave behind.

    Else it walks through more and more of them, which in the end takes most of the time of tests
    that make many small objects.
    """
    yield
    gc.freeze()


class Recording:
    """A display that keeps what it is told, and does at one moment what a test asks for."""

    def __init__(self, moment="", action=lambda: None):
        self.moment, self.action = moment, action
        self.told = []
        self.notes = []
        self.plan = None

    def tell(self, moment):
        self.told.append(moment)
        if moment == self.moment:
            self.action()

    def begin(self, plan):
        self.plan = plan
        self.tell("begin")

    def epoch_begin(self, epoch):
        self.tell(f"epoch {epoch}")

    def step(self, step, values):
        self.tell(f"step {step}")

    def validation_step(self, step, steps):
        self.tell(f"evaluated {step}/{steps}")

    def epoch_end(self, epoch, values, seconds):
        self.tell(f"end of epoch {epoch}")

    def note(self, text):
        self.notes.append(text)
        self.tell("note")

    def end(self):
        self.tell("end")


class Run:
    """What a run left on disk."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def json(self, name):
        return json.loads((self.folder / name).read_text())

    @property
    def record(self):
        return self.json("run.json")

    @property
    def epochs(self):
        return [
            json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()
        ]


@pytest.fixture
def recording():
    """The display of a test."""
    return Recording


@pytest.fixture
def tiny(tmp_path):
    """Write an experiment that trains in milliseconds, on data of its own; return it as read."""
    import numpy as np

    from fitx.experiment.check import read

    generator = np.random.default_rng(0)
    arrays = {}
    for suffix, rows in (("", 40), ("_validation", 16), ("_test", 20)):
        x = generator.normal(size=(rows, 4)).astype("float32")
        arrays |= {f"x{suffix}": x, f"y{suffix}": x.sum(axis=1, keepdims=True)}
    np.savez(tmp_path / "tiny.npz", **arrays)
    (tmp_path / "tiny.yaml").write_text(TINY)

    def tiny(*words, plugin=None):
        if plugin is not None:
            (tmp_path / "plugin.py").write_text(plugin)
            (tmp_path / "tiny.yaml").write_text(f"plugins: [plugin.py]\n{TINY}")
        return read(str(tmp_path / "tiny.yaml"), words)

    return tiny


@pytest.fixture
def trained(tmp_path, recording):
    """Train an experiment; return the run and the result, or the error that ended it."""
    from fitx.commands.train import train
    from fitx.errors import FitxError
    from fitx.training.train_request import prepare_request

    def trained(experiment, display=None, *, smoke=False):
        try:
            request = prepare_request(experiment, tmp_path / "runs", smoke=smoke)
            outcome = train(experiment, request, display or recording())
        except FitxError as error:
            outcome = error
        folders = sorted((tmp_path / "runs").glob("*/2*"), key=lambda p: p.stat().st_mtime_ns)
        return Run(folders[-1]) if folders else None, outcome

    return trained
