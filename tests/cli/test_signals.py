import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from fitx import checkpoint

from .conftest import WAITED

ENDLESS = """
step: supervised
model: linear
optimizer: adam
loss: mse
data: {name: random, rows: 2000, features: 8}
fit: {epochs: 1000000}
checkpoint: {every: epoch}
"""
STUCK = '''
import time
import keras
from fitx import callbacks


@callbacks.register
class Stuck(keras.callbacks.Callback):
    """Hangs in the second epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            print("stuck", flush=True)
            time.sleep(60)
'''
LONG = '''
import keras
from fitx import callbacks


@callbacks.register
class Long(keras.callbacks.Callback):
    """Says when an epoch is well under way."""

    said = False

    def on_train_batch_begin(self, batch, logs=None):
        if batch > 100 and not self.said:
            self.said = True
            print("under way", flush=True)
'''
FORKS = '''
import multiprocessing
import time
import keras
from fitx import callbacks


@callbacks.register
class Forks(keras.callbacks.Callback):
    """Starts a process that it ends, and one that lives on."""

    def on_epoch_begin(self, epoch, logs=None):
        context = multiprocessing.get_context("fork")
        one, other = (context.Process(target=time.sleep, args=(600,), daemon=True) for _ in "ab")
        one.start()
        other.start()
        one.terminate()
        one.join(100)
        print("child ended with", one.exitcode, flush=True)
'''
CASES = (
    "term",
    "int",
    "twice",
    "terminal",
    "early int",
    "early term",
    "fused term",
    "fused int",
    "ignored",
    "forks",
)


@dataclass(frozen=True)
class Ended:
    """A command that received signals, and the seconds it took to end after the last one."""

    code: int
    out: str
    err: str
    seconds: float
    folder: Path

    @property
    def run(self):
        """Return the folder of its run."""
        (run,) = (path for path in self.folder.glob("runs/*/2*"))
        return run

    @property
    def record(self):
        return json.loads((self.run / "run.json").read_text())


@pytest.fixture(scope="module")
def ended(fitx_command, environment, tmp_path_factory):
    """Run every case in a process of its own, two at a time."""

    def start(case):
        folder = tmp_path_factory.mktemp("signals")
        (folder / "endless.yaml").write_text(ENDLESS)
        (folder / "stuck.py").write_text(STUCK)
        (folder / "forks.py").write_text(FORKS)
        (folder / "long.py").write_text(LONG)
        (folder / "temporary").mkdir()
        command = [*fitx_command, "train", "endless.yaml"]
        variables = {**environment, "TMPDIR": str(folder / "temporary")}
        return START[case](command, folder, variables)

    with ThreadPoolExecutor(2) as pool:
        futures = {case: pool.submit(start, case) for case in CASES}
        yield {case: future.result() for case, future in futures.items()}


def _piped(command, folder, environment, wait, *signals):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, env=environment, **pipes) as process:
        seen = wait(process)
        for index, number in enumerate(signals):
            time.sleep(0.7 * index)
            process.send_signal(number)
        began = time.monotonic()
        out, err = process.communicate(timeout=300)
        seconds = time.monotonic() - began
    return Ended(process.returncode, out.decode(), (seen + err).decode(), seconds, folder)


def _until(text):
    def wait(process):
        seen = b""
        while text not in seen:
            line = process.stderr.readline()
            assert line, seen.decode()
            seen += line
        return seen

    return wait


def _until_tensorflow_is_imported(process):
    maps = Path(f"/proc/{process.pid}/maps")
    while "_pywrap_tensorflow" not in maps.read_text():
        assert process.poll() is None
        time.sleep(0.01)
    return b""


def _terminal(command, folder, environment):
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)

    def lead():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    streams = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
    environment = {**environment, "TERM": "xterm"}
    process = subprocess.Popen(command, cwd=folder, env=environment, preexec_fn=lead, **streams)
    seen = b""
    while b"steps/s" not in seen:
        assert process.poll() is None, seen.decode()
        if select.select([master], [], [], 1)[0]:
            seen += os.read(master, 1 << 16)
    os.write(master, b"\x03")
    began = time.monotonic()
    while process.poll() is None or select.select([master], [], [], 0)[0]:
        if select.select([master], [], [], 0.05)[0]:
            seen += os.read(master, 1 << 16)
    seconds = time.monotonic() - began
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)
    return Ended(process.returncode, seen.decode(), "", seconds, folder)


def _twice(command, folder, environment):
    command = [*command, "plugins=[stuck.py]", "callbacks=[stuck]"]
    return _piped(command, folder, environment, _until(b"stuck"), signal.SIGTERM, signal.SIGTERM)


def _fused(number):
    """Send a signal while one epoch of a million steps runs in long chunks."""
    words = ["plugins=[long.py]", "callbacks=[long]", "execution.mode=fused"]
    size = ["data.rows=1000000", "data.batch_size=1"]
    return lambda c, f, e: _piped([*c, *words, *size], f, e, _until(b"under way"), number)


def _ignored(command, folder, environment):
    """Start a command as `nohup` and the `&` of a script do."""
    command = ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh", *command]
    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    return _piped(command, folder, environment, _until(b"epoch 2/"), *signals)


START = {
    "term": lambda c, f, e: _piped([*c, "--json"], f, e, _until(b"epoch 2/"), signal.SIGTERM),
    "int": lambda c, f, e: _piped(c, f, e, _until(b"epoch 2/"), signal.SIGINT),
    "twice": _twice,
    "terminal": _terminal,
    "early int": lambda c, f, e: _piped(c, f, e, _until_tensorflow_is_imported, signal.SIGINT),
    "early term": lambda c, f, e: _piped(c, f, e, _until_tensorflow_is_imported, signal.SIGTERM),
    "fused term": _fused(signal.SIGTERM),
    "fused int": _fused(signal.SIGINT),
    "ignored": _ignored,
    "forks": lambda c, f, e: _piped(
        [*c, "plugins=[forks.py]", "callbacks=[forks]", "fit.epochs=2"],
        f,
        e,
        _until(b"child ended"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_no_signal_leaves_a_traceback(ended, case):
    assert "Traceback" not in ended[case].err + ended[case].out
    assert "Exception ignored" not in ended[case].err + ended[case].out


@pytest.mark.parametrize("case", CASES)
def test_no_end_leaves_anything_in_the_temporary_folder(ended, case):
    assert not list((ended[case].folder / "temporary").iterdir())


@pytest.mark.parametrize("case", CASES)
def test_a_command_ends_within_seconds(ended, case):
    assert ended[case].seconds < 50


@pytest.mark.parametrize("case", ["term", "int", "terminal", "ignored"])
def test_the_state_is_on_disk_and_the_journal_is_whole(ended, case):
    done = ended[case]
    record = done.record
    assert record["status"] == "interrupted"
    newest = checkpoint.newest(done.run / "checkpoints")
    assert newest.folder.name == record["last"]
    assert not newest.skipped
    lines = (done.run / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert all(line.endswith("\n") and json.loads(line) for line in lines)
    assert len(lines) == newest.meta["epoch"]
    assert newest.meta["step"] == newest.step >= 63 * newest.meta["epoch"]
    assert not list(done.run.rglob(".tmp-*"))


def test_sigterm_exits_with_143_and_names_the_run(ended):
    done = ended["term"]
    assert done.code == 143
    result = json.loads(done.out)
    assert result["code"] == 143
    assert done.folder / result["run"] == done.run
    assert result["error"] == done.record["error"]
    assert result["error"].startswith("stopped by SIGTERM after step ")


def test_sigint_exits_with_130_and_says_what_is_on_disk(ended):
    done = ended["int"]
    assert (done.code, done.out) == (130, "")
    told, run, way_on = done.err.splitlines()[-3:]
    last = done.record["last"]
    expected = f"stopped by SIGINT after step {int(last)}; checkpoint {last} is whole."
    assert told == expected
    assert done.folder / run.removeprefix("run: ") == done.run
    assert way_on == f"resume with: fitx resume {run.removeprefix('run: ')}"


def test_what_is_ignored_at_the_start_does_not_stop_a_run(ended):
    done = ended["ignored"]
    assert (done.code, done.record["status"]) == (143, "interrupted")
    assert done.record["error"].startswith("stopped by SIGTERM after step ")


def test_processes_that_a_plugin_forks_are_ended_without_the_run(ended):
    done = ended["forks"]
    assert (done.code, done.record["status"]) == (0, "finished")
    assert done.err.count(f"child ended with {-signal.SIGTERM}\n") == 2


def test_ctrl_c_in_a_terminal_ends_a_shells_loop_too(ended):
    done = ended["terminal"]
    # To a shell this is 130 as well.
    assert done.code == -signal.SIGINT
    assert "stopped by SIGINT after step " in done.out


def test_a_second_signal_exits_at_once_and_leaves_what_was_saved(ended):
    done = ended["twice"]
    assert done.code == 143
    assert done.seconds < 10
    assert done.record["status"] == "running"
    assert checkpoint.newest(done.run / "checkpoints").meta["epoch"] == 1


@pytest.mark.parametrize(("case", "code"), [("fused int", 130), ("fused term", 143)])
def test_a_signal_within_a_fused_epoch_stops_it_after_the_chunk(ended, case, code):
    done = ended[case]
    newest = checkpoint.newest(done.run / "checkpoints")
    assert (done.code, done.record["status"]) == (code, "interrupted")
    assert (done.record["mode"], done.record["last"]) == ("fused", newest.folder.name)
    assert (newest.meta["epoch"], newest.meta["phase"]) == (0, "epoch")
    assert 100 < newest.meta["step"] < 1_000_000
    (iteration,) = (v for k, v in newest.state.items() if k.endswith("/iteration"))
    assert iteration == newest.meta["step"]
    assert done.seconds < 30


@pytest.mark.parametrize(("case", "code"), [("early int", 130), ("early term", 143)])
def test_a_signal_while_tensorflow_is_imported_leaves_nothing(ended, case, code):
    done = ended[case]
    assert (done.code, done.out, WAITED.sub("", done.err)) == (code, "", "")
    assert not (done.folder / "runs").exists()
