"""Hostile .npz files as data: refused with exit code 3, nothing executed, memory bounded."""

import io
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest

EXPERIMENT = """
step: supervised
model: linear
optimizer: adam
loss: mse
data: {name: npz, path: data.npz, batch_size: 8}
execution: {mode: plain, threads: 2}
"""
GIB = 1 << 30


class Payload:
    """What runs a command when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (exec, (self.place.shot,))


def npy(array, **options):
    memory = io.BytesIO()
    np.lib.format.write_array(memory, array, **options)
    return memory.getvalue()


def with_header(text):
    encoded = text.encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(encoded)) + encoded


def shaped(shape, descr="'<f8'"):
    return with_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n")


def zipped(*members, compression=zipfile.ZIP_STORED):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return memory.getvalue()


def bomb(size):
    """Return an archive of few megabytes whose array of zeros has `size` bytes."""
    header, piece = shaped(f"({size // 8},)"), bytes(1 << 20)
    packer = zlib.compressobj(9, wbits=-15)
    start = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    # What follows a full flush can be repeated.
    middle = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = start + middle * (size >> 20) + packer.flush()
    content = zipped(("x.npy", b"?" * 7))
    local, rest = content[: 30 + 5], content[30 + 5 + 7 :]
    total = len(header) + size
    sizes = struct.pack("<HHHIII", 8, 0, 0x21, 0, len(packed), total)
    local = local[:8] + sizes + local[26:]
    rest = rest[:10] + sizes + rest[28:]
    end = bytearray(rest)
    end[-6:-2] = struct.pack("<I", len(local) + len(packed))
    return local + packed + bytes(end)


def object_array(place):
    return zipped(("x.npy", npy(np.array([Payload(place)], object), allow_pickle=True)))


def renamed_pickle(place):
    return pickle.dumps(Payload(place))


def pickle_as_a_member(place):
    return zipped(("x.npy", pickle.dumps(Payload(place))))


def code_in_the_header(place):
    return zipped(("x.npy", with_header(f"{{'descr': exec({place.shot!r}), 'shape': (1,)}}\n")))


def code_as_the_dtype(place):
    return zipped(("x.npy", shaped("(1,)", repr(place.shot)) + bytes(8)))


def pickle_behind_a_header_of_objects(place):
    return zipped(("x.npy", shaped("(1,)", "'|O'") + pickle.dumps(Payload(place))))


def nested_header(place):
    return zipped(("x.npy", with_header("(" * 100_000)))


def five_tebibytes(place):
    return zipped(("x.npy", shaped(f"({5 << 37},)") + bytes(64)))


def just_below_four_gibibytes(place):
    return zipped(("x.npy", shaped(f"({39 * GIB // 80},)") + bytes(64)))


def more_than_an_address(place):
    return zipped(("x.npy", shaped(f"({1 << 40}, {1 << 40})") + bytes(64)))


def negative_shape(place):
    return zipped(("x.npy", shaped("(-8, -8)") + bytes(512)))


def four_gibibytes_of_zeros(place):
    return bomb(4 * GIB - (1 << 20))


def traversal(place):
    return zipped(("../../outside/.bashrc", npy(np.ones(3))))


def absolute_name(place):
    return zipped((str(place.secret), npy(np.ones(3))))


def link_as_a_member(place):
    member = zipfile.ZipInfo("x.npy")
    member.create_system, member.external_attr = 3, 0o120777 << 16
    return zipped((member, str(place.secret)))


def duplicates(place):
    return zipped(("x.npy", npy(np.ones((4, 1)))), ("x", npy(np.zeros((4, 1)))))


def encrypted(place):
    content = bytearray(zipped(("x.npy", npy(np.ones(3)))))
    content[6] |= 1
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def text(place):
    return zipped(("x.npy", npy(np.array(["=cmd|' /C calc'!A0\x1b[2J"]))))


def rows_that_do_not_match(place):
    return zipped(("x.npy", npy(np.ones((4, 2)))), ("y.npy", npy(np.ones((5, 1)))))


def endless_names(place):
    return zipped(*((f"{'x' * 200}{n}", b"") for n in range(5000)))


HOSTILE = {
    object_array: "array 'x' has dtype object; expected numbers.",
    renamed_pickle: "it cannot be read (File is not a zip file)",
    pickle_as_a_member: "array 'x' does not begin like one. The file is damaged.",
    code_in_the_header: "array 'x' does not begin like one. The file is damaged.",
    code_as_the_dtype: "array 'x' does not begin like one. The file is damaged.",
    pickle_behind_a_header_of_objects: "array 'x' has dtype object; expected numbers.",
    nested_header: "array 'x' does not begin like one. The file is damaged.",
    five_tebibytes: "array 'x' claims shape (687194767360,) of float64",
    just_below_four_gibibytes: "array 'x' claims shape (523449139,) of float64",
    more_than_an_address: "array 'x' claims shape (1099511627776, 1099511627776) of float64",
    negative_shape: "it cannot be read (",
    traversal: "array '../../outside/.bashrc' is unknown",
    absolute_name: ".bashrc' is unknown",
    link_as_a_member: "array 'x' does not begin like one. The file is damaged.",
    duplicates: "array 'x' is there twice. The file is damaged.",
    encrypted: "array 'x' is encrypted; store it plainly.",
    text: "array 'x' has dtype <U",
    rows_that_do_not_match: "4",
    endless_names: "is unknown; known are x, y",
}


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_data_file_is_refused(heavy, place, make):
    place.write("mine.yaml", EXPERIMENT)
    place.write("data.npz", make(place))
    answer = heavy("train", "mine.yaml", "-q", code=3)
    assert "data.npz" in answer["err"]
    assert HOSTILE[make] in answer["err"]
    assert not (place.work / "runs").exists()


def test_data_that_unpacks_to_more_than_memory_is_told_as_any_lack_of_it(heavy, place):
    place.write("mine.yaml", EXPERIMENT)
    place.write("data.npz", four_gibibytes_of_zeros(place))
    answer = heavy("train", "mine.yaml", "-q", code=4)
    assert "out of memory: Unable to allocate 4.00 GiB" in answer["err"]
    assert not (place.work / "runs").exists()


def test_the_canary_fires_where_numpy_unpickles(heavy_process, place):
    file = place.write("data.npz", object_array(place))
    answer = heavy_process.ask(folder=place.work, loader="numpy", file=file)
    assert place.canary.exists()
    assert any("pickle.find_class" in event for event in answer["seen"])
    assert any("canary" in event for event in answer["seen"])
