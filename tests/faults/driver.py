"""Do what a run does to its folder, in processes whose system calls fail, die or are recorded.

    driver.py faults SCENARIO FOLDER KIND ...   prints a line of JSON for each call and each kind
    driver.py trace SCENARIO FOLDER             prints a line of JSON for each call

A kind is `kill before`, `kill after`, `cut` (half of it is written, then the disk is full), or the
name of an error like `ENOSPC`, raised `once` or `always` from there on. Nothing in fitx knows of
this: the calls themselves are replaced, in a child of its own for each.
"""

import base64
import errno
import io
import json
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from fitx import checkpoint, safe_files
from fitx.checkpoint import state_file
from fitx.errors import FitxError
from fitx.rundir import files, folder, journal, lock, record

# A small state is written in several pieces, as a large one would be.
state_file.PIECE = 4096

PATCHED = ("open", "mkdir", "symlink", "rename", "replace", "unlink", "rmdir", "fsync")
PATCHED += ("ftruncate", "pwrite")
RECORD = json.loads(Path(__file__).parents[1].joinpath("run_record.json").read_text())
REAL = {name: getattr(os, name) for name in PATCHED}
# What a process wrote outlives it without this, and the power stays on.
REAL["fsync"] = lambda descriptor: None


class Calls:
    """What a process asks of its disk, in order."""

    def __init__(self, root):
        self.root, self.paths = root, {}

    def made(self, name, about, act, data=b""):
        raise NotImplementedError

    def patch(self):
        for name in PATCHED:
            setattr(os, name, lambda *args, _name=name, **given: self._call(_name, args, given))
        os.fdopen = self._fdopen

    def _call(self, name, args, given):
        about = [self._path(word, given) for word in args[: 1 + (name in ("rename", "replace"))]]
        if name == "symlink":
            about = [self._path(args[1], given), args[0]]
        if name == "open":
            about.append(args[1] if len(args) > 1 else given["flags"])
        data = args[1] if name == "pwrite" else b""
        result = self.made(name, about, lambda: REAL[name](*args, **given), data)
        if name == "open":
            self.paths[result] = os.path.join(self.root, about[0])
        return result

    def _path(self, given, words):
        path = self.paths.get(given, given)
        if words.get("dir_fd") is not None:
            path = os.path.join(self.paths[words["dir_fd"]], path)
        return os.path.relpath(path, self.root)

    def _fdopen(self, descriptor, mode="r", buffering=-1):
        if "w" not in mode:
            return open(descriptor, mode, buffering)
        raw = _File(descriptor, mode, self)
        return io.BufferedWriter(raw) if buffering else raw


class _File(io.FileIO):
    """A file whose every write is a call that counts."""

    def __init__(self, descriptor, mode, calls):
        super().__init__(descriptor, mode)
        self.calls = calls
        self.about = [os.path.relpath(calls.paths[descriptor], calls.root)]

    def write(self, data):
        data, act = bytes(data), super().write
        return self.calls.made("write", self.about, lambda part=data: act(part), data)

    def truncate(self, size=None):
        act = super().truncate
        return self.calls.made("truncate", [*self.about, size], lambda: act(size))


class Faulty(Calls):
    """The n-th call dies or fails."""

    def __init__(self, root, kind, number, tell):
        super().__init__(root)
        self.kind, self.number, self.tell, self.count = kind, number, tell, 0

    def made(self, name, about, act, data=b""):
        self.count += 1
        if self.count < self.number or (self.count > self.number and self.kind not in _LASTING):
            return act()
        if self.count == self.number:
            self.tell(fired=f"{name} {about[0]}")
        if self.kind == "cut" and self.count == self.number and name == "write":
            return act(data[: len(data) // 2])
        if self.kind == "kill after":
            with suppress(OSError):
                act()
        if self.kind.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, self.kind.split()[0].replace("cut", "ENOSPC"))
        raise OSError(code, os.strerror(code))


class Traced(Calls):
    """Every call is told."""

    def __init__(self, root, tell):
        super().__init__(root)
        self.tell = tell

    def made(self, name, about, act, data=b""):
        result = act()
        self.tell(call=name, about=about, data=base64.b64encode(data).decode())
        return result


_LASTING = {"cut", *(f"{code} always" for code in ("ENOSPC", "EIO", "EDQUOT", "EROFS"))}
"""Kinds that every call after the first meets too."""


def save(run, report):
    for step in (1, 2, 3):
        state = {"a": np.arange(4000.0) * step, "b": np.full(7, step, "uint32")}
        checkpoint.save(run / "checkpoints", step, state, {"epoch": step}, keep=2)
        report(step)


def save_unsynced(run, report):
    safe_files.sync = safe_files.sync_folder = lambda file: None
    save(run, report)


def replace(run, report):
    for number in (1, 2, 3):
        files.write_atomically(run / "file", f"{number}" * 10_000)
        report(number)


def recorded(run, report):
    made = record.start(run, {**RECORD, "argv": ["many"] * 2000})
    report("running")
    made.update(status="finished")
    report("finished")


def journals(run, report):
    written = journal.Journal(run)
    for epoch in (1, 2, 3):
        written.append(epoch, epoch * 10, 0.5, {"loss": 1 / epoch})
        written.sync()
        report(epoch)
    written.close()


def journal_gone_on_with(run, report):
    lines = [
        f'{{"epoch": {epoch}, "step": {epoch}0, "seconds": 1, "old": 1}}\n' for epoch in (1, 2, 3)
    ]
    files.write_atomically(run / journal.NAME, "".join(lines) + '{"epo')
    report("as it was")
    written = journal.Journal(run, len(lines[0] + lines[1]))
    report("cut")
    written.append(3, 30, 0.5, {"new": 2})
    report("longer")
    written.close()


def run_made(out, report):
    made = folder.create_run(out, "digits")
    with lock.hold(made):
        report(made.name)


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        save,
        save_unsynced,
        replace,
        recorded,
        journals,
        journal_gone_on_with,
        run_made,
    )
}


def play(scenario, root, calls, tell):
    """Act a scenario in this process and tell how it ended."""
    calls.patch()
    try:
        SCENARIOS[scenario](root, lambda what: tell(reported=what))
    except FitxError as error:
        tell(error=str(error), code=error.exit_code)


def cases(scenario, root, kind):
    """Fork a child for each call that can fail, until a scenario has no more of them."""
    for number in range(1, 10_000):
        place = root / f"{kind}-{number}".replace(" ", "-")
        place.mkdir()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            tell = partial(say, writing)
            play(scenario, place, Faulty(str(place), kind, number, tell), tell)
            os._exit(0)
        os.close(writing)
        with open(reading) as file:
            told = [json.loads(line) for line in file]
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        facts = {key: value for line in told for key, value in line.items() if key != "reported"}
        reported = [line["reported"] for line in told if "reported" in line]
        yield {"folder": str(place), "kind": kind, "status": status, "reported": reported, **facts}
        if "fired" not in facts:
            return


def say(descriptor, **facts):
    os.write(descriptor, json.dumps(facts).encode() + b"\n")


if __name__ == "__main__":
    what, scenario, root, *kinds = sys.argv[1:]
    if what == "trace":
        tell = partial(say, sys.stdout.fileno())
        play(scenario, Path(root), Traced(root, tell), tell)
    for kind in kinds:
        for case in cases(scenario, Path(root), kind):
            say(sys.stdout.fileno(), **case)
