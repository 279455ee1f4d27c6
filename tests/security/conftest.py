import json
import os
import selectors
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PYTHON = [sys.executable, str(Path(__file__).with_name("guarded.py"))]
MOST_MEGABYTES = 300
MOST_LINES = 400

TRAINED = """
name: mine
step: supervised
model: {name: mlp, units: [4]}
optimizer: adam
loss: mse
data: {name: npz, path: PATH, batch_size: 8}
fit: {epochs: 1}
execution: {mode: plain, threads: 2}
"""


class Guarded:
    """A process that runs commands one after another and tells all they did to the outside."""

    def __init__(self, home):
        kept = {k: v for k, v in os.environ.items() if k not in ("CI", "KERAS_HOME")}
        temporary = home / "tmp"
        temporary.mkdir(exist_ok=True)
        variables = {
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "CUDA_VISIBLE_DEVICES": "",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # Else commands with plugins would start this process anew.
            "PYTHONHASHSEED": "0",
        }
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(PYTHON, env={**kept, **variables}, text=True, **pipes)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request, default=str) + "\n")
        self.process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(timeout=60):
                self.process.kill()
                pytest.fail(f"still running after a minute: {request}")
        return json.loads(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()


class Place:
    """A working folder, and beside it what a command has no business with.

    Attributes:
        work: The working folder.
        canary: What every hostile file here would make, if anything in it were executed.
        secret: A file of the user outside of the working folder.
    """

    def __init__(self, folder):
        self.work, self.outside = folder / "work", folder / "outside"
        self.canary, self.secret = self.outside / "canary", self.outside / ".bashrc"
        for made in (self.work, self.outside):
            made.mkdir()
        self.secret.write_text("export PASSWORD=hunter2\n")
        self.shot = f"open({str(self.canary)!r}, 'w')"

    def others(self):
        """Return all there is outside of the working folder."""
        files = sorted(self.outside.rglob("*"))
        return {file: file.read_bytes() if file.is_file() else None for file in files}

    def write(self, name, content):
        """Write a file into the working folder."""
        file = self.work / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content) if isinstance(content, bytes) else file.write_text(content)
        return file


class Attempt:
    """Runs commands on hostile files and holds each to what holds for all of them."""

    def __init__(self, guarded, place):
        self.guarded, self.place = guarded, place

    def __call__(self, *words, code, **request):
        """Run a command; return its answer if an exit code and a message is all that came of it."""
        before = self.place.others()
        answer = self.guarded.ask(folder=self.place.work, words=[str(w) for w in words], **request)
        said = answer["out"] + answer["err"]
        assert answer["code"] == code, said
        assert answer["seen"] == []
        assert self.place.others() == before
        assert not self.place.canary.exists()
        assert answer["megabytes"] <= MOST_MEGABYTES
        assert "Traceback" not in said
        assert not [c for c in said if not (c.isprintable() or c == "\n")]
        assert "hunter2" not in said
        assert len(said.splitlines()) <= MOST_LINES
        assert code == 0 or answer["err"].strip()
        return answer


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def light_process(home):
    """A process in which TensorFlow is never imported."""
    with Guarded(home) as guarded:
        yield guarded


@pytest.fixture(scope="session")
def heavy_process(home, tmp_path_factory):
    """A process that has trained already, and where."""
    folder = tmp_path_factory.mktemp("trained")
    arrays(folder / "data.npz")
    (folder / "mine.yaml").write_text(TRAINED.replace("PATH", "data.npz"))
    with Guarded(home) as guarded:
        words = ["train", "mine.yaml", "-q"]
        answer = guarded.ask(folder=folder, words=words, is_warming=True)
        assert answer["code"] == 0, answer["err"]
        (guarded.trained,) = folder.glob("runs/mine/2*")
        yield guarded


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def light(light_process, place):
    """Attempt a command that must fail, or be done, before TensorFlow is imported."""

    def attempt(*words, **request):
        answer = Attempt(light_process, place)(*words, **request)
        assert not answer["tensorflow"]
        return answer

    return attempt


@pytest.fixture
def heavy(heavy_process, place):
    """Attempt a command that needs TensorFlow."""
    return Attempt(heavy_process, place)


@pytest.fixture
def run(heavy_process, place):
    """A copy of a run that was trained, in the working folder."""
    return Path(shutil.copytree(heavy_process.trained, place.work / "run"))


def arrays(file):
    """Write a data set of 16 rows."""
    np.savez(file, x=np.ones((16, 2), "float32"), y=np.ones((16, 1), "float32"))
