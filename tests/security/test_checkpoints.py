"""Hostile checkpoints of a run: refused with exit code 7, nothing executed, memory bounded."""

import hashlib
import io
import json
import os
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest

GIB = 1 << 30


class Payload:
    """What runs a command when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (exec, (self.place.shot,))


class Checkpoint:
    """The one checkpoint of a run, rewritten so that all its checksums are right."""

    def __init__(self, run):
        (self.folder,) = (run / "checkpoints").iterdir()
        self.about = json.loads((self.folder / "meta.json").read_text())
        self.variables = self.about["state"]["variables"]
        with zipfile.ZipFile(self.folder / "state.npz") as archive:
            self.members = {name: archive.read(name) for name in archive.namelist()}

    def write(self, state=None, **compression):
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w", **compression) as archive:
            for name, content in self.members.items():
                archive.writestr(name, content)
        state = memory.getvalue() if state is None else state
        found = {"size": len(state), "sha256": hashlib.sha256(state).hexdigest()}
        self.about["state"].update(found)
        del self.about["sha256"]
        text = json.dumps(self.about, sort_keys=True)
        self.about["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        (self.folder / "meta.json").write_text(json.dumps(self.about))
        (self.folder / "state.npz").write_bytes(state)


def header(shape, descr="<f4"):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def first(checkpoint):
    return next(iter(checkpoint.members))


def object_array(checkpoint, place):
    memory = io.BytesIO()
    np.lib.format.write_array(memory, np.array([Payload(place)], object), allow_pickle=True)
    checkpoint.members[first(checkpoint)] = memory.getvalue()
    checkpoint.variables[0].update(shape=[1], dtype="object")
    checkpoint.write()


def renamed_pickle(checkpoint, place):
    checkpoint.write(pickle.dumps(Payload(place)))


def pickle_as_a_member(checkpoint, place):
    checkpoint.members[first(checkpoint)] = pickle.dumps(Payload(place))
    checkpoint.write()


def code_in_the_header(checkpoint, place):
    text = f"{{'descr': exec({place.shot!r}), }}\n".encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    checkpoint.members[first(checkpoint)] = content
    checkpoint.write()


def five_tebibytes(checkpoint, place):
    checkpoint.members[first(checkpoint)] = header(f"({5 << 38},)") + bytes(64)
    checkpoint.variables[0].update(shape=[5 << 38], dtype="float32")
    checkpoint.write()


def just_below_four_gibibytes(checkpoint, place):
    checkpoint.members[first(checkpoint)] = header(f"({39 * GIB // 40},)") + bytes(64)
    checkpoint.variables[0].update(shape=[39 * GIB // 40], dtype="float32")
    checkpoint.write()


def compressed(checkpoint, place):
    checkpoint.write(compression=zipfile.ZIP_DEFLATED)


def overlapping(checkpoint, place):
    """Let thousands of arrays of a quarter of a megabyte each be the same."""
    count, tail = 3000, bytes(1 << 18)
    state, entries = overlaid(count, tail)
    checkpoint.variables[:] = [
        {"path": f"networks/{n}", "shape": [size], "dtype": "uint8"} for n, size in entries
    ]
    checkpoint.write(state)


def overlaid(count, tail):
    """Return an archive in which each member holds all the following ones, and their sizes."""
    content, members = tail, []
    for number in reversed(range(count)):
        array = header(f"({len(content)},)", "|u1") + content
        name = f"v{number:05d}.npy".encode()
        crc = zlib.crc32(array)
        fields = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 0x21, crc, len(array), len(array), 10, 0)
        members.append((number, name, fields, len(content)))
        content = b"PK\x03\x04" + fields + name + array
    total, directory, offset = len(content), b"", 0
    for _, name, fields, size in reversed(members):
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields
        directory += struct.pack("<HHHII", 0, 0, 0, 0, offset) + name
        offset += 30 + len(name) + len(header(f"({size},)", "|u1"))
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), total, 0)
    entries = [(number, size) for number, _, _, size in reversed(members)]
    return content + directory + b"PK\x05\x06" + end, entries


def traversal(checkpoint, place):
    checkpoint.members["../../../outside/.bashrc"] = checkpoint.members.pop(first(checkpoint))
    checkpoint.write()


def duplicates(checkpoint, place):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in [*checkpoint.members.items(), *checkpoint.members.items()]:
            archive.writestr(name, content)
    checkpoint.write(memory.getvalue())


def encrypted(checkpoint, place):
    checkpoint.write()
    content = bytearray((checkpoint.folder / "state.npz").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    checkpoint.write(bytes(content))


def dtype_that_is_an_attribute(checkpoint, place):
    checkpoint.variables[0]["dtype"] = "__loader__"
    checkpoint.write()


def names_that_are_no_strings(checkpoint, place):
    checkpoint.variables[0]["path"] = [["a"]]
    checkpoint.write()


def shape_of_words(checkpoint, place):
    checkpoint.variables[0]["shape"] = ["x", {}]
    checkpoint.write()


def table_of_nothing(checkpoint, place):
    checkpoint.about["state"]["variables"] = 7
    checkpoint.write()


def other_step(checkpoint, place):
    checkpoint.about["step"] = 10**30
    checkpoint.write()


def deep_meta(checkpoint, place):
    (checkpoint.folder / "meta.json").write_text('{"meta":' * 100_000)


def endless_meta(checkpoint, place):
    os.truncate(checkpoint.folder / "meta.json", 1 << 40)


def many_digits(checkpoint, place):
    (checkpoint.folder / "meta.json").write_text('{"step": ' + "9" * 100_000 + "}")


def pipe_for_the_state(checkpoint, place):
    (checkpoint.folder / "state.npz").unlink()
    os.mkfifo(checkpoint.folder / "state.npz")


def folder_for_the_meta(checkpoint, place):
    (checkpoint.folder / "meta.json").unlink()
    (checkpoint.folder / "meta.json").mkdir()


HOSTILE = {
    object_array: "its dtype is object, which is no number's",
    renamed_pickle: "File is not a zip file",
    pickle_as_a_member: "has no array header of format 1.0",
    code_in_the_header: "has no array header of format 1.0",
    five_tebibytes: "has too few or too many bytes",
    just_below_four_gibibytes: "has too few or too many bytes",
    compressed: "is compressed",
    overlapping: "state.npz claims to hold more than it has bytes",
    traversal: "does not hold the variables that meta.json lists",
    duplicates: "does not hold the variables that meta.json lists",
    encrypted: "is encrypted",
    dtype_that_is_an_attribute: "its dtype is __loader__, which is no number's",
    names_that_are_no_strings: 'state.variables[0].path: expected a string, found [["a"]]',
    shape_of_words: 'state.variables[0].shape[0]: expected an integer, found "x"',
    table_of_nothing: "state.variables: expected a list, found 7",
    other_step: f"step: expected less than {10**18}, found {10**30}",
    deep_meta: "damaged",
    endless_meta: "meta.json",
    many_digits: "meta.json is not JSON",
    pipe_for_the_state: "is neither a file nor a folder; remove it.",
    folder_for_the_meta: "meta.json",
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_checkpoint_is_not_evaluated(heavy, run, place, make):
    make(Checkpoint(run), place)
    before = files(run)
    answer = heavy("evaluate", "run", "-q", code=7)
    assert HOSTILE[make] in answer["err"]
    assert files(run) == before


@pytest.mark.parametrize("make", [object_array, five_tebibytes, traversal, endless_meta])
def test_a_hostile_checkpoint_is_not_resumed(heavy, run, place, make):
    make(Checkpoint(run), place)
    reopen(run)
    before = files(run)
    answer = heavy("resume", "run", "-q", code=7)
    assert HOSTILE[make] in answer["err"]
    assert files(run) == before


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_checkpoint_is_listed_as_damaged(light, run, place, make):
    make(Checkpoint(run), place)
    before = files(run)
    answer = light("checkpoints", "run", code=7)
    assert "damaged" in answer["out"]
    assert files(run) == before


@pytest.mark.parametrize("command", ["evaluate", "resume"])
def test_a_folder_named_by_a_huge_step_is_passed_over(heavy, run, command):
    (run / "checkpoints" / str(2**63)).mkdir()
    (run / "checkpoints/999999999999999999").mkdir()
    answer = heavy(command, "run", code=0)
    assert (run / "checkpoints" / str(2**63)).is_dir()
    assert "Traceback" not in answer["err"]


def reopen(run):
    """Let a run be one that was interrupted, so that it can be resumed."""
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**facts, "status": "interrupted"}))


def files(run):
    """Return all of a run but what says who holds it, and how it ended."""
    found = {}
    for file in sorted(run.rglob("*")):
        if file.name not in ("run.lock", "run.json"):
            is_small = file.is_file() and file.stat().st_size < GIB
            found[file] = file.read_bytes() if is_small else None
    return found
