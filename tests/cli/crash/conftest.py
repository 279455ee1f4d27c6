"""Runs that are ended again and again, by two chains of processes at a time."""

import io
import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import h5py
import pytest

from fitx import checkpoint
from fitx.rundir.status import status

HERE = Path(__file__).parent
PATIENCE_SECONDS = 90.0
KINDS = {
    "plain": ("lasting", "execution.mode=plain"),
    "fused_xla": ("lasting", "execution.mode=fused_xla", "checkpoint.every=7 steps"),
    "half": (
        *("lasting", "execution.precision=mixed_float16"),
        "optimizer={name: sgd, learning_rate: 0.01, momentum: 0.9, gradient_accumulation_steps: 4}",
    ),
    "pair": ("pair",),
}


@dataclass(frozen=True)
class Ended:
    """One process of a chain that did not bring its run to the end.

    Attributes:
        way: how it was ended.
        code: what it exited with, -9 for a kill.
        seconds: from the last signal to its end.
        newest: the newest checkpoint that was there when it was gone; "" for none.
        unborn: how many checkpoints were not whole.
        resumed: the one that it had gone on from.
        said: what run.json said of the run then.
        known: what the run is known to be then.
        networks: the Keras files that were there.
    """

    way: str
    code: int
    out: str
    err: str
    seconds: float
    newest: str
    unborn: int
    resumed: str
    said: str
    known: str
    networks: tuple[str, ...]


class Process:
    """A command under way, and what it has printed so far."""

    def __init__(self, command, folder, environment):
        pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        options = {"cwd": folder, "env": environment, "stdin": subprocess.DEVNULL, **pipes}
        self.popen = subprocess.Popen(command, preexec_fn=_hearing, **options)
        self.printed = {"out": b"", "err": b""}
        self.readers = [
            Thread(target=self._read, args=("out", self.popen.stdout)),
            Thread(target=self._read, args=("err", self.popen.stderr)),
        ]
        for reader in self.readers:
            reader.start()
        self.began = self.signalled = time.monotonic()

    def _read(self, name, pipe):
        with pipe:
            while part := os.read(pipe.fileno(), 1 << 16):
                self.printed[name] += part

    @property
    def out(self):
        return self.printed["out"].decode()

    @property
    def err(self):
        return self.printed["err"].decode()

    def wait_until(self, condition, pause=0.001):
        """Return when something is true; the process must live until then."""
        while not condition():
            alive = self.popen.poll() is None
            assert alive, f"it ended with {self.popen.returncode}: {self.err}"
            assert time.monotonic() - self.began < PATIENCE_SECONDS, self.err
            time.sleep(pause)

    def wait_for(self, text):
        """Return when something was printed on standard error."""
        self.wait_until(lambda: text in self.err)

    def send(self, number):
        self.popen.send_signal(number)
        self.signalled = time.monotonic()

    def end(self):
        """Wait for the end; return code and seconds since the last signal."""
        try:
            code = self.popen.wait(PATIENCE_SECONDS)
            seconds = time.monotonic() - self.signalled
        finally:
            self.popen.kill()
            self.popen.wait()
        for reader in self.readers:
            reader.join()
        return code, seconds


def _hearing():
    """Let a process hear of Ctrl-C where the tests were started as a shell's `&` starts them."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Chain:
    """One run, trained by one process after the other, all by the same command.

    Attributes:
        ended: those that did not bring it to its end.
    """

    def __init__(self, folder, command, environment, words):
        self.folder, self.command, self.environment = folder, command, environment
        self.words = words
        self.ended = []
        for file in HERE.iterdir():
            if file.suffix == ".yaml" or file.name in ("lasting.py", "points.py"):
                shutil.copy(file, folder)

    def start(self, *words, hold=""):
        """Begin the run, or go on with it; `hold` is a place in lasting.py to wait at."""
        (self.folder / "go").unlink(missing_ok=True)
        command = [*self.command, *(words or self.words)]
        environment = {**self.environment, "HOLD": hold}
        return Process(command, self.folder, environment)

    def go(self):
        """Let a process go on that waits."""
        (self.folder / "go").touch()

    @property
    def run(self):
        (run,) = (path for path in self.folder.glob("runs/*/2*") if (path / "run.json").exists())
        return run

    @property
    def has_run(self):
        return any(self.folder.glob("runs/*/2*/run.json"))

    @property
    def record(self):
        return json.loads((self.run / "run.json").read_text())

    def checkpoints(self):
        """Return step and revision of all checkpoints, oldest first, and how many are unborn."""
        found = list(self.folder.glob("runs/*/2*/checkpoints/*"))
        born = sorted(order(path.name) for path in found if path.name[0] != ".")
        return born, len(found) - len(born)

    @property
    def newest(self):
        return max(self.checkpoints()[0], default=(0, 0))

    def end(self, way, process):
        """Wait until a process is gone, and note what it left."""
        code, seconds = process.end()
        born, unborn = self.checkpoints()
        newest = folder_name(*born[-1]) if born else ""
        record = self.record if self.has_run else {"status": ""}
        resumed = (record.get("resumed") or [{"from": None}])[-1]["from"] or ""
        known = status(self.run) if self.has_run else ""
        texts = (process.out, process.err)
        networks = tuple(
            path.name for path in self.folder.glob("runs/*/2*/networks/**/[!.]*.keras")
        )
        facts = (newest, unborn, resumed, record["status"], known, networks)
        self.ended.append(Ended(way, code, *texts, seconds, *facts))
        return self.ended[-1]

    def finish(self):
        """Bring the run to its end."""
        process = self.start()
        code, _ = process.end()
        assert code == 0, process.err
        return self

    @property
    def result(self):
        return Result(self.run)


def folder_name(step, revision):
    """Return the name of a checkpoint."""
    return f"{step:06d}-{revision}" if revision else f"{step:06d}"


def order(name):
    """Return step and revision of a checkpoint's name."""
    step, _, revision = name.partition("-")
    return int(step), int(revision or 0)


class Result:
    """What a run left, but for times: all of it is to be the same for a run that was killed."""

    def __init__(self, run):
        newest = checkpoint.newest(run / "checkpoints")
        assert not newest.passed_over
        self.step, self.state = newest.step, newest.state
        times = ("seconds", "begun", "journal_bytes")
        self.meta = {k: v for k, v in newest.meta.items() if k not in times}
        lines = (run / "metrics.jsonl").read_text().splitlines()
        self.epochs = [{**json.loads(line), "seconds": 0} for line in lines]
        summary = json.loads((run / "summary.json").read_text())
        self.summary = {
            k: v for k, v in summary.items() if k not in ("seconds", "examples_per_second")
        }
        self.networks = {p.relative_to(run): _weights(p) for p in run.rglob("*.keras")}
        self.status = json.loads((run / "run.json").read_text())["status"]
        files = (path.relative_to(run) for path in run.rglob("*") if path.is_file())
        self.files = {_without_revision(file) for file in files}

    def differences(self, other):
        """Return the names of what is not the same to the bit."""
        names = self.state.keys() ^ other.state.keys()
        both = self.state.keys() & other.state.keys()
        names |= {n for n in both if self.state[n].tobytes() != other.state[n].tobytes()}
        facts = ("step", "meta", "epochs", "summary", "networks", "files", "status")
        return names | {f for f in facts if getattr(self, f) != getattr(other, f)}


def _without_revision(file):
    if file.parts[0] != "checkpoints":
        return str(file)
    return f"checkpoints/{order(file.parts[1])[0]}/{'/'.join(file.parts[2:])}"


def _weights(path):
    """Return the bytes of every array in a Keras file."""
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tobytes()

    with zipfile.ZipFile(path) as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content) as file:
        file.visititems(note)
    assert found
    return found


@pytest.fixture(scope="session")
def chain(fitx_command, environment, tmp_path_factory, times):
    """Make a chain of a kind of run, in a folder of its own."""

    def chain(kind="plain"):
        name, *words = KINDS[kind]
        words = ("train", f"{name}.yaml", "--resume", "auto", f"fit.epochs={times(9, 40)}", *words)
        return Chain(tmp_path_factory.mktemp("crash"), fitx_command, environment, words)

    return chain


@pytest.fixture(scope="session")
def crew():
    """Acts chains in the background, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(scope="session")
def left_alone(chain, crew):
    """Return the run of a kind that nobody ended; there is one of each."""
    asked = {}

    def left_alone(kind):
        if kind not in asked:
            asked[kind] = crew.submit(lambda: chain(kind).finish())
        return asked[kind]

    return left_alone
