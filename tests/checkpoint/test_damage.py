"""A damaged checkpoint is named with the reason and passed over; its numbers are never used."""

import hashlib
import json
import shutil
import tracemalloc

import numpy as np
import pytest

from fitx import checkpoint
from fitx.checkpoint import meta_file
from fitx.errors import StorageError

FILES = ("state.npz", "meta.json")
MEGABYTE = 1 << 20


@pytest.fixture
def root(tmp_path):
    """Two checkpoints of a run."""
    for step in (1, 2):
        state = {"w": np.full((30, 10), step, "float32"), "seed": np.array([step, 7], "uint32")}
        checkpoint.save(tmp_path / "run", step, state, {"epoch": step, "best": 0.5}, keep=2)
    return tmp_path / "run"


@pytest.fixture
def newest(root):
    return root / "000002"


@pytest.fixture
def skipped(root, newest):
    """Assert that the newest checkpoint is named with a reason, and the one before it is used."""

    def skipped(reason):
        found = checkpoint.newest(root)
        assert (found.step, found.meta["epoch"]) == (1, 1)
        assert (found.state["w"] == 1).all()
        assert found.skipped[0].startswith(f"checkpoint {newest} ")
        assert reason in found.skipped[0]
        with pytest.raises(StorageError) as error:
            checkpoint.verify(newest)
        assert str(error.value) == found.skipped[0]

    return skipped


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file(newest, skipped, name):
    content = (newest / name).read_bytes()
    sizes = [0, 1, *(len(content) * percent // 100 for percent in (25, 50, 99)), len(content) - 2]
    for size in sizes:
        (newest / name).write_bytes(content[:size])
        skipped(f"is damaged: {name} ")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_zeros_or_with_more_at_its_end(newest, skipped, name):
    content = (newest / name).read_bytes()
    for other in (bytes(len(content)), content + b"\0", content + content):
        (newest / name).write_bytes(other)
        skipped(f"is damaged: {name} ")


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit(newest, skipped, name, times):
    content, random = (newest / name).read_bytes(), np.random.default_rng(20)
    for offset in random.integers(len(content) - 1, size=times(200, 20_000)):
        flipped = bytearray(content)
        flipped[offset] ^= 1 << random.integers(8)
        (newest / name).write_bytes(flipped)
        skipped(f"is damaged: {name} ")


def test_every_bit_of_the_meta_counts(newest, times):
    content = (newest / "meta.json").read_bytes()
    for offset in range(0, len(content) - 1, times(13, 1)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[offset] ^= 1 << bit
            (newest / "meta.json").write_bytes(flipped)
            with pytest.raises(StorageError, match="is damaged: meta.json "):
                checkpoint.verify(newest)


@pytest.mark.parametrize("names", [["state.npz"], ["meta.json"], FILES])
def test_files_of_an_earlier_step(root, newest, skipped, names):
    for name in names:
        shutil.copy(root / "000001" / name, newest / name)
    skipped("is damaged: ")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_runs_checkpoint_of_that_step(tmp_path, newest, skipped, name):
    state = {"w": np.full((30, 10), 9, "float32"), "seed": np.array([2, 7], "uint32")}
    other = checkpoint.save(tmp_path / "other", 2, state, {"epoch": 2, "best": 0.5}, keep=1)
    shutil.copy(other / name, newest / name)
    skipped("is damaged: state.npz does not match its checksum")


def test_a_link_in_place_of_the_folder(tmp_path, newest, skipped):
    newest.rename(tmp_path / "elsewhere")
    newest.symlink_to(tmp_path / "elsewhere")
    skipped("is damaged: it is a link, and its numbers could be another run's")


def test_an_empty_folder_or_a_file_in_its_place(newest, skipped):
    shutil.rmtree(newest)
    newest.mkdir()
    skipped("cannot be read: meta.json: No such file or directory")
    newest.rmdir()
    newest.write_bytes(b"")
    skipped("cannot be read: meta.json: Not a directory")


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file(newest, skipped, name):
    (newest / name).unlink()
    (newest / name).mkdir()
    skipped(f"is damaged: {name} is not a regular file")


@pytest.fixture
def memory():
    """The most bytes that a reading takes at once."""

    def memory(read):
        tracemalloc.start()
        try:
            read()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    return memory


def test_a_meta_of_a_gigabyte_is_not_read(newest, skipped, memory):
    with (newest / "meta.json").open("r+b") as file:
        file.truncate(1 << 30)
    reason = f"is damaged: meta.json has {1 << 30} bytes, more than fitx writes"
    assert memory(lambda: skipped(reason)) < MEGABYTE


def test_what_could_not_be_read_again_is_not_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(meta_file, "LARGEST", 1000)
    with pytest.raises(StorageError, match=r"cannot save a checkpoint with \d{4} bytes beside"):
        checkpoint.save(tmp_path, 1, {}, {"long": "a" * 1000}, keep=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_meta_nested_too_deep(newest, skipped, memory, opening):
    (newest / "meta.json").write_text(opening * 100_000)
    assert memory(lambda: skipped("is damaged: ")) < 10 * MEGABYTE


@pytest.fixture
def forged(newest):
    """Rewrite the newest checkpoint so that every checksum fits."""

    def forged(content, *entries):
        (newest / "state.npz").write_bytes(content)
        (newest / "meta.json").unlink()
        about = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        meta_file.write(newest / "meta.json", 2, {}, {**about, "variables": entries})

    return forged


@pytest.mark.parametrize("shape", [[10**15], [2**62, 2], [2**63, 2**63], [-1], [1] * 100])
def test_a_table_that_claims_petabytes_allocates_nothing(newest, skipped, memory, forged, shape):
    content = (newest / "state.npz").read_bytes()
    seed = {"path": "seed", "shape": [2], "dtype": "uint32"}
    forged(content, seed, {"path": "w", "shape": shape, "dtype": "float32"})
    listed = f"'w' is not the float32{shape} listed"
    reason = (
        listed if 0 <= shape[0] < 10**18 else "meta.json: state.variables[1].shape[0]: expected"
    )
    assert memory(lambda: skipped(reason)) < MEGABYTE


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (20, "state.npz claims to hold more than it has bytes"),
        (24, "'seed' has too few or too many bytes"),
    ],
)
def test_a_zip_file_that_claims_gigabytes_allocates_nothing(
    newest, skipped, memory, forged, field, reason
):
    entries = json.loads((newest / "meta.json").read_text())["state"]["variables"]
    content = bytearray((newest / "state.npz").read_bytes())
    place = content.index(b"PK\x01\x02") + field
    content[place : place + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    forged(bytes(content), *entries)
    assert memory(lambda: skipped(f"is damaged: {reason}")) < MEGABYTE


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0,), "uint32"),
        np.zeros((3, 0, 2), "float64"),
        np.array(2**32 - 1, "uint32"),
        np.array(2**64 - 1, "uint64"),
        np.array([0, 2**64 - 1], "uint64"),
        np.array(np.nan),
        np.array(-0.0, "float32"),
        np.arange(624, dtype="uint32"),
    ],
)
def test_states_of_callbacks_and_of_random_generators_come_back(tmp_path, array):
    names = ("callbacks/0 early_stopping/best", "random/numpy/key")
    folder = checkpoint.save(tmp_path, 1, dict.fromkeys(names, array), {}, keep=1)
    state, _ = checkpoint.load(folder)
    for name in names:
        assert (state[name].dtype, state[name].shape) == (array.dtype, array.shape)
        assert state[name].tobytes() == array.tobytes()
