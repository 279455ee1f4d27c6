import io
import os
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitx.data.prepare import prepare
from fitx.data.splits import Split
from fitx.errors import DataError
from fitx.experiment.schema import DataOptions
from fitx.registry.registries import datasets

X, Y, W = np.arange(6.0).reshape(3, 2), np.arange(3), np.ones(3)
npz = datasets.get("npz")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.npz"


def refusal(path):
    with pytest.raises(DataError) as caught:
        npz(path=str(path))
    return str(caught.value).replace(str(path), "PATH")


def write_member(path, name, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(name, content)


def header(shape, dtype="<f8", version=1):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_array_finds_its_split(path, save):
    arrays = {"x": X, "y": Y, "sample_weight": W}
    test = {f"{name}_test": array[:1] for name, array in arrays.items()}
    save(path, **arrays, **test, x_validation=X[:2], y_validation=Y[:2])
    splits = npz(path=str(path))
    assert {name: list(split.arrays()) for name, split in splits.items()} == {
        "train": ["x", "y", "sample_weight"],
        "validation": ["x", "y"],
        "test": ["x", "y", "sample_weight"],
    }
    assert (splits["train"].x == X).all()
    assert splits["train"].y.dtype == Y.dtype
    assert (splits["validation"].y == Y[:2]).all()
    assert (splits["test"].x == X[:1]).all()


def test_x_alone_is_enough(path):
    np.savez(path, x=np.asfortranarray(X))
    splits = npz(path=str(path))
    assert list(splits) == ["train"]
    assert isinstance(splits["train"], Split)
    assert (splits["train"].x == X).all()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_to_where_they_are_fed_from_without_a_copy(path, save):
    numbers = np.random.default_rng(0).normal(size=(700_000,)).astype(np.float32)
    save(path, x=numbers.reshape(-1, 7), y=np.arange(100_000) % 3)
    split = npz(path=str(path))["train"]
    fed = prepare({"train": split}, DataOptions(), seed=0).splits["train"]
    assert (split.x == numbers.reshape(-1, 7)).all()
    assert np.shares_memory(fed.x, split.x)
    assert np.shares_memory(fed.y, split.y)


@pytest.mark.parametrize("extra", [b"", b"12345678" * 3])
def test_an_array_that_does_not_fill_its_shape_is_refused(path, extra):
    write_member(path, "x.npy", header((2, 2)) + bytes(24) + extra, zipfile.ZIP_DEFLATED)
    assert refusal(path).startswith("npz 'PATH': it cannot be read ('x.npy' ")


def test_a_missing_file_is_refused_with_the_nearest(path):
    assert refusal(path) == f"npz 'PATH': there is no such file in {path.parent}."
    (path.parent / "same.npz").touch()
    assert refusal(path) == (
        f"npz 'PATH': there is no such file in {path.parent}. Did you mean 'same.npz'?"
    )


def test_a_folder_and_a_pipe_are_refused(path):
    os.mkfifo(path)
    assert refusal(path) == "npz 'PATH': it is not a file; expected one written by numpy.savez."
    assert refusal(path.parent).endswith(
        "': it is not a file; expected one written by numpy.savez."
    )


def test_what_is_no_zip_is_refused(path):
    path.write_bytes(b"x,y\n1,2\n")
    assert refusal(path) == (
        "npz 'PATH': it cannot be read (File is not a zip file); expected a file written by "
        "numpy.savez."
    )


def test_a_single_npy_is_refused(path):
    with path.open("wb") as file:
        np.save(file, X)
    assert "it cannot be read (File is not a zip file)" in refusal(path)


def test_an_unknown_array_is_refused_with_the_nearest(path):
    np.savez(path, x=X, sample_weights=W)
    assert refusal(path) == (
        "npz 'PATH': array 'sample_weights' is unknown; known are x, y, sample_weight, "
        "x_validation, y_validation, sample_weight_validation, x_test, y_test, "
        "sample_weight_test. Did you mean 'sample_weight'?"
    )


def test_an_array_without_its_x_is_refused(path):
    np.savez(path, y=Y)
    assert refusal(path) == "npz 'PATH': array 'x' is missing, but 'y' is there."
    np.savez(path, x=X, y_test=Y)
    assert refusal(path) == "npz 'PATH': array 'x_test' is missing, but 'y_test' is there."


def test_a_missing_x_is_refused(path):
    np.savez(path, x_test=X)
    assert refusal(path) == "npz 'PATH': array 'x' is missing; it holds x_test."
    np.savez(path)
    assert refusal(path) == "npz 'PATH': array 'x' is missing; the file holds no arrays."


class Trap:
    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_objects_are_refused_and_never_unpickled(path):
    np.savez(path, x=np.array([Trap()], dtype=object))
    assert refusal(path) == "npz 'PATH': array 'x' has dtype object; expected numbers."
    assert not Trap.sprung


def test_text_and_records_are_refused(path):
    np.savez(path, x=np.array(["a"]))
    assert refusal(path) == "npz 'PATH': array 'x' has dtype <U1; expected numbers."
    np.savez(path, x=np.zeros(2, dtype=[("a", int)]))
    assert refusal(path) == "npz 'PATH': array 'x' has dtype [('a', '<i8')]; expected numbers."


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_array_larger_than_the_file_can_hold_is_refused(path, compression):
    write_member(path, "x.npy", header("(1000000000000,)") + b"\0" * 1000, compression)
    assert "array 'x' claims shape (1000000000000,) of float64, which is 8,000,000,000,000" in (
        refusal(path)
    )


def test_a_stored_array_one_byte_too_short_is_refused(path):
    write_member(path, "x.npy", header("(100,)") + b"\0" * 100)
    stored = len(header("(100,)")) + 100
    assert refusal(path) == (
        "npz 'PATH': array 'x' claims shape (100,) of float64, which is 800 bytes; what the file "
        f"has for it cannot be more than {stored}. The file is damaged."
    )


def test_a_size_in_the_zip_that_is_a_lie_does_not_help(path):
    write_member(path, "x.npy", header("(100000000,)") + b"\0" * 100)
    content = path.read_bytes()
    size = struct.pack("<I", len(header("(100000000,)")) + 100)
    path.write_bytes(content.replace(size, struct.pack("<I", 2**31)))
    assert "claims shape (100000000,) of float64, which is 800,000,000 bytes" in refusal(path)


def test_much_compressed_arrays_are_read(path):
    np.savez_compressed(path, x=np.zeros((1000, 1000)))
    assert npz(path=str(path))["train"].x.shape == (1000, 1000)


def test_later_versions_of_the_format_are_refused(path):
    write_member(path, "x.npy", header("(1,)", version=3) + b"\0" * 8)
    assert refusal(path) == (
        "npz 'PATH': array 'x' has version (3, 0) of the .npy format; expected 1.0 or 2.0."
    )


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_is_found(path, compression):
    memory = io.BytesIO()
    np.save(memory, np.random.default_rng(0).random(1000))
    write_member(path, "x.npy", memory.getvalue(), compression)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert refusal(path).startswith("npz 'PATH': it cannot be read (")


def test_a_file_that_may_not_be_read_is_refused(path):
    assert "it cannot be read ([Errno 36] File name too long" in refusal(path.parent / ("a" * 300))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_damage_never_raises_anything_else(tmp_path_factory, changes):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    np.savez_compressed(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    for place, byte in changes:
        content[place % len(content)] = byte
    path.write_bytes(content)
    try:
        npz(path=str(path))
    except DataError as error:
        assert str(error).startswith(f"npz '{path}': ")


def test_several_inputs_and_outputs_are_chosen_by_name(tmp_path):
    file = tmp_path / "houses.npz"
    rows = np.arange(4.0)
    np.savez(
        file, image=rows, age=rows + 1, price=rows, old=rows, age_test=rows, image_test=rows, z=1
    )
    splits = npz(path=file, x=["image", "age"], y=["price", "old"])
    assert list(splits) == ["train", "test"]
    assert splits["train"].x["age"].tolist() == [1, 2, 3, 4]
    assert sorted(splits["train"].y) == ["old", "price"]
    assert splits["test"].y is None
    assert npz(path=file, x="image", y="price")["train"].y.tolist() == rows.tolist()
    for names, text in (
        ({"x": ["image", "agee"]}, "array 'agee' is missing; it holds image, age, price"),
        ({"x": "image", "y": "prise"}, "Did you mean 'price'?"),
        ({"x": ["price", "image"]}, "array 'price_test' is missing, but 'image_test' is there."),
    ):
        with pytest.raises(DataError) as caught:
            npz(path=file, **names)
        assert text in str(caught.value)
