"""A run that is trained by one process after the other, each of which a test ends."""

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from fitx.checkpoint import folders
from fitx.rundir.status import status

from .result import Result

HERE = Path(__file__).parent
PATIENCE_SECONDS = 300.0


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
        self.popen = subprocess.Popen(command, **options)
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

    def wait_until(self, condition, pause=0.005):
        """Return when something is true; the process must live until then."""
        while not condition():
            late = time.monotonic() - self.began > PATIENCE_SECONDS
            if late or self.popen.poll() is not None:
                self.popen.kill()
                raise AssertionError(f"{self.popen.wait()}, {late=}: {self.err}")
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
        born = sorted(folders.order(path.name) for path in found if path.name[0] != ".")
        return born, len(found) - len(born)

    @property
    def newest(self):
        return max(self.checkpoints()[0], default=(0, 0))

    def end(self, way, process):
        """Wait until a process is gone, and note what it left."""
        code, seconds = process.end()
        born, unborn = self.checkpoints()
        newest = folders.name(*born[-1]) if born else ""
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
