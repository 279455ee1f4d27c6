import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest

from fitx import checkpoint
from fitx.checkpoint import meta_file, state_file
from fitx.errors import StorageError

STATE = {
    "model/dense/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "model/dense/bias": np.zeros(4, np.float32),
    "optimizer/iterations": np.array(7, np.int64),
    "seed_generator/state": np.array([1, 2], np.uint32),
    "half": np.array([[1.5, -2.0]], ml_dtypes.bfloat16),
    "scalar half": np.array(0.5, ml_dtypes.bfloat16),
    "eight bits": np.array([0.5, 1.0], ml_dtypes.float8_e4m3fn),
    "flag": np.array(True),
    "empty": np.zeros((0, 5), np.float16),
    "complex": np.array([1 + 2j], np.complex64),
}

SAVER = """
import sys
from pathlib import Path
import numpy as np
from fitx import checkpoint
from fitx.checkpoint import meta_file
root = Path(sys.argv[1])
state = {"w": np.zeros(2000, np.float32), "b": np.ones(3)}
for step in range(int(sys.argv[2]), int(sys.argv[3])):
    checkpoint.save(root, step, state, {"epoch": step}, keep=2)
    print(step, flush=True)
"""


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def saved(root, *steps, keep=9):
    return [checkpoint.save(root, step, STATE, {"epoch": step}, keep) for step in steps]


def names(root):
    return sorted(path.name for path in root.iterdir())


def test_a_state_comes_back_bit_for_bit(tmp_path):
    folder = checkpoint.save(tmp_path / "checkpoints", 420, STATE, {"epoch": 3}, keep=2)
    state, meta = checkpoint.load(folder)

    assert folder == tmp_path / "checkpoints" / "000420"
    assert names(folder) == ["meta.json", "state.npz"]
    assert meta == {"epoch": 3}
    assert state.keys() == STATE.keys()
    assert all(same(state[path], STATE[path]) for path in STATE)
    assert all(array.flags.writeable for array in state.values())


def test_an_empty_state_is_a_state(tmp_path):
    assert checkpoint.load(checkpoint.save(tmp_path, 0, {}, {}, keep=1)) == ({}, {})


def test_a_state_is_written_without_a_copy_of_it(tmp_path):
    large = {name: np.ones((4, 1 << 20), "float32") for name in ("a", "b")}
    large |= {f"c{n}": np.ones(1 << 18, "float32") for n in range(32)}
    state_file.write(tmp_path / "before", {})
    tracemalloc.start()
    try:
        state_file.write(tmp_path / "state.npz", large)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < state_file.PIECE + (1 << 20)


def test_order_in_memory_and_byte_order_do_not_matter(tmp_path):
    odd = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "strided": np.arange(10, dtype=np.int32)[::3],
        "swapped": np.array([1.0, 2.0], ">f4"),
    }
    state, _ = checkpoint.load(checkpoint.save(tmp_path, 1, odd, {}, keep=1))
    for path, array in odd.items():
        np.testing.assert_array_equal(state[path], array)
        assert state[path].dtype.isnative


def test_meta_comes_back_as_it_was(tmp_path):
    meta = {
        "best": float("inf"),
        "nested": [{"wait": 3, "lr": 0.1 + 0.2}, None, -float("inf")],
        "text": "größe",
        "numpy": np.float32(0.1),
    }
    _, read = checkpoint.load(checkpoint.save(tmp_path, 1, {}, meta, keep=1))
    assert read == {**meta, "numpy": float(np.float32(0.1))}
    nan = checkpoint.load(checkpoint.save(tmp_path, 2, {}, {"a": np.nan}, keep=1))[1]["a"]
    assert nan != nan


def test_a_checkpoint_is_verified_without_its_arrays_in_memory(tmp_path):
    folder = checkpoint.save(tmp_path, 1, {"a": np.zeros(2_000_000)}, {"epoch": 3}, keep=1)
    tracemalloc.start()
    assert checkpoint.verify(folder) == {"epoch": 3}
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_meta_is_json_that_any_program_can_read(tmp_path):
    folder = checkpoint.save(tmp_path, 420, STATE, {"best": float("nan")}, keep=1)

    def refuse(constant):
        raise AssertionError(constant)

    about = json.loads((folder / "meta.json").read_text(), parse_constant=refuse)
    assert (about["format"], about["step"]) == (2, 420)
    assert about["state"]["size"] == (folder / "state.npz").stat().st_size
    assert about["state"]["variables"][0] == {"path": "complex", "shape": [1], "dtype": "complex64"}


def test_numpy_opens_the_state(tmp_path):
    folder = checkpoint.save(tmp_path, 1, {"a/b": np.arange(3)}, {}, keep=1)
    with np.load(folder / "state.npz") as arrays:
        assert arrays["v00000"].tolist() == [0, 1, 2]


def test_equal_states_are_equal_files(tmp_path):
    first, second = saved(tmp_path, 1, 2)
    assert (first / "state.npz").read_bytes() == (second / "state.npz").read_bytes()


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array(["a"]), "str32"),
        (np.array([None]), "object"),
        (np.array([(1, 2)], "i4,i4"), "void64"),
    ],
)
def test_what_is_no_number_cannot_be_saved(tmp_path, array, dtype):
    with pytest.raises(StorageError) as error:
        checkpoint.save(tmp_path, 1, {"vocabulary": array}, {}, keep=1)
    assert str(error.value) == (
        f"cannot save 'vocabulary' in a checkpoint: its dtype is {dtype}, which is no number's"
    )
    assert names(tmp_path) == []


def test_only_the_newest_stay(tmp_path):
    saved(tmp_path, 1, 2, 3, 4, keep=2)
    assert names(tmp_path) == ["000003", "000004"]


def test_all_stay_while_they_are_no_more_than_are_to_be_kept(tmp_path):
    for count in range(1, 10):
        saved(tmp_path, count, keep=9)
        assert len(names(tmp_path)) == count
    saved(tmp_path, 10, keep=9)
    assert names(tmp_path) == [f"{step:06}" for step in range(2, 11)]


def test_steps_beyond_a_million_are_ordered_as_numbers(tmp_path):
    saved(tmp_path, 999_999, 1_000_000, keep=2)
    assert checkpoint.newest(tmp_path).step == 1_000_000
    saved(tmp_path, 1_000_001, keep=2)
    assert names(tmp_path) == ["1000000", "1000001"]


def test_the_same_step_twice_makes_a_second_folder_and_the_last_one_counts(tmp_path):
    checkpoint.save(tmp_path, 7, STATE, {"phase": "train"}, keep=2)
    folder = checkpoint.save(tmp_path, 7, STATE, {"phase": "end"}, keep=2)
    found = checkpoint.newest(tmp_path)

    assert folder == found.folder == tmp_path / "000007-1"
    assert (found.step, found.meta) == (7, {"phase": "end"})
    checkpoint.save(tmp_path, 8, STATE, {}, keep=1)
    assert names(tmp_path) == ["000008"]


def test_later_checkpoints_that_a_resumed_run_gave_up_go(tmp_path):
    saved(tmp_path, 1, 2, 9)
    saved(tmp_path, 3, keep=2)
    assert names(tmp_path) == ["000002", "000003"]


def test_what_a_killed_process_left_is_removed_and_links_are_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("data")
    root = tmp_path / "checkpoints"
    (root / ".tmp-1-ab").mkdir(parents=True)
    (root / ".tmp-1-ab" / "state.npz").write_text("half")
    (root / ".tmp-2").symlink_to(precious)

    saved(root, 1)
    assert names(root) == ["000001"]
    assert (precious / "file").read_text() == "data"


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "12").mkdir()
    saved(tmp_path, 1, 2, keep=1)
    assert names(tmp_path) == ["000002", "12", "notes.txt"]


def test_without_checkpoints_there_is_no_newest(tmp_path):
    assert checkpoint.newest(tmp_path) is None
    assert checkpoint.newest(tmp_path / "gone") is None
    (tmp_path / ".tmp-1-ab").mkdir()
    assert checkpoint.newest(tmp_path) is None


def assert_skipped(tmp_path, reason):
    """Checkpoint 2, the newest, is named with the reason, and 1 is used."""
    with pytest.raises(StorageError) as error:
        checkpoint.load(tmp_path / "000002")
    assert str(error.value).startswith(f"checkpoint {tmp_path / '000002'} {reason}")
    with pytest.raises(StorageError) as verified:
        checkpoint.verify(tmp_path / "000002")
    assert str(verified.value) == str(error.value)
    found = checkpoint.newest(tmp_path)
    assert (found.step, found.skipped) == (1, (str(error.value),))
    assert all(same(found.state[path], STATE[path]) for path in STATE)


def test_a_meta_cut_at_any_byte_is_found(tmp_path):
    path = checkpoint.save(tmp_path, 1, {"a": np.arange(2)}, {}, keep=1) / "meta.json"
    content = path.read_bytes()
    for size in range(len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(StorageError, match="is damaged: meta.json is not JSON"):
            checkpoint.load(path.parent)


def test_a_renamed_checkpoint_is_found(tmp_path):
    saved(tmp_path, 1)
    shutil.copytree(tmp_path / "000001", tmp_path / "000002")
    assert_skipped(tmp_path, "is damaged: it was taken after step 1, not 2")


@pytest.mark.parametrize("name", ["state.npz", "meta.json"])
def test_a_missing_file_is_named(tmp_path, name):
    (saved(tmp_path, 1, 2)[1] / name).unlink()
    assert_skipped(tmp_path, f"cannot be read: {name}: No such file or directory")


@pytest.mark.parametrize("name", ["state.npz", "meta.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path, name):
    path = saved(tmp_path, 1, 2)[1] / name
    path.unlink()
    os.mkfifo(path)
    assert_skipped(tmp_path, f"is damaged: {name} is not a regular file")


def test_a_file_in_place_of_a_checkpoint_is_passed_over_and_never_overwritten(tmp_path):
    saved(tmp_path, 1)
    (tmp_path / "000002").write_text("mine")
    assert_skipped(tmp_path, "cannot be read: meta.json: Not a directory")
    assert saved(tmp_path, 2)[0].name == "000002-1"
    assert (tmp_path / "000002").read_text() == "mine"


@pytest.mark.parametrize(
    "content", ["[]", "{}", "null", '{"sha256": 1}', "[" * 100_000, "{" * 10, "\x00"]
)
def test_a_meta_of_another_kind_is_damaged(tmp_path, content):
    (saved(tmp_path, 1, 2)[1] / "meta.json").write_text(content)
    assert_skipped(tmp_path, "is damaged: ")


def test_when_none_is_whole_each_is_named(tmp_path):
    for folder in saved(tmp_path, 1, 2):
        (folder / "state.npz").unlink()
    with pytest.raises(StorageError) as error:
        checkpoint.newest(tmp_path)
    assert str(error.value) == (
        "no checkpoint is valid:\n"
        f"checkpoint {tmp_path}/000002 cannot be read: state.npz: No such file or directory\n"
        f"checkpoint {tmp_path}/000001 cannot be read: state.npz: No such file or directory"
    )


def test_a_folder_that_is_no_checkpoint_is_told(tmp_path):
    with pytest.raises(StorageError) as error:
        checkpoint.load(tmp_path / "best")
    assert str(error.value) == (
        f"checkpoint {tmp_path}/best is damaged: 'best' is not the name of a checkpoint, "
        "such as 000420"
    )


def forge(folder, write, **about):
    """Write a hostile state.npz with a meta.json whose every checksum fits."""
    shutil.rmtree(folder)
    folder.mkdir()
    with zipfile.ZipFile(folder / "state.npz", "w") as archive:
        write(archive)
    content = (folder / "state.npz").read_bytes()
    about["size"] = len(content)
    about["sha256"] = hashlib.sha256(content).hexdigest()
    meta_file.write(folder / "meta.json", 2, {}, about)


def header(descr, shape, content=b""):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + content


@pytest.mark.parametrize(
    ("content", "entry", "reason"),
    [
        (
            header("'<f4'", (10**15,)),
            {"shape": [10**15], "dtype": "float32"},
            "'a' has too few or too many bytes",
        ),
        (
            header("'<f4'", (1,), bytes(4)),
            {"shape": [2], "dtype": "float32"},
            "'a' is not the float32[2] listed",
        ),
        (
            header("'<f8'", (1,), bytes(8)),
            {"shape": [1], "dtype": "float32"},
            "'a' is not the float32[1] listed",
        ),
        (
            header("'|O'", (1,), b"cos\nsystem\n(S'touch executed'\ntR."),
            {"shape": [1], "dtype": "object"},
            "'a': its dtype is object, which is no number's",
        ),
        (
            header("'|O'", (1,), b"cos\nsystem\n(S'touch executed'\ntR."),
            {"shape": [1], "dtype": "float32"},
            "'a' is not the float32[1] listed",
        ),
        (
            header("__import__('os').system('touch executed')", (1,)),
            {"shape": [1], "dtype": "float32"},
            "'a' has no array header of format 1.0",
        ),
        (
            b"cos\nsystem\n(S'touch executed'\ntR.",
            {"shape": [1], "dtype": "float32"},
            "'a' has no array header of format 1.0",
        ),
        (
            b"\x93NUMPY\x03\x00",
            {"shape": [1], "dtype": "float32"},
            "'a' has no array header of format 1.0",
        ),
        (b"", {"shape": [], "dtype": "float32"}, "'a' has no array header of format 1.0"),
        (
            header("'<f4'", (1,)),
            {"shape": 1, "dtype": "float32"},
            "meta.json: state.variables[0].shape: expected a list, found 1",
        ),
        (
            header("'<f4'", (1,)),
            {"shape": [1], "dtype": ["float32"]},
            "meta.json: state.variables[0].dtype: expected a string, found",
        ),
        (header("'<f4'", (1,)), {"shape": [1], "dtype": "finfo"}, "'a': its dtype is finfo, which"),
        (header("'<f4'", (1,)), {"shape": [1]}, "meta.json: state.variables[0].dtype: missing"),
    ],
)
def test_a_hostile_array_is_refused_before_it_is_allocated(
    tmp_path, monkeypatch, content, entry, reason
):
    monkeypatch.chdir(tmp_path)
    folder = saved(tmp_path, 1, 2)[1]
    forge(
        folder,
        lambda archive: archive.writestr("v00000.npy", content),
        variables=[{"path": "a", **entry}],
    )
    assert_skipped(tmp_path, f"is damaged: {reason}")
    assert not (tmp_path / "executed").exists()


def test_a_compressed_array_is_refused(tmp_path):
    folder = saved(tmp_path, 1, 2)[1]
    forge(
        folder,
        lambda archive: archive.writestr("v00000.npy", bytes(10**6), zipfile.ZIP_DEFLATED),
        variables=[{"path": "a", "shape": [250_000], "dtype": "float32"}],
    )
    assert_skipped(tmp_path, "is damaged: 'a' is compressed")


def test_more_bytes_than_the_variables_take_are_not_read(tmp_path, monkeypatch):
    folder = saved(tmp_path, 1, 2)[1]
    forge(
        folder,
        lambda archive: archive.writestr("more", bytes(10**6)),
        variables=[{"path": "a", "shape": [1], "dtype": "float32"}],
    )
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: pytest.fail("was hashed"))
    with pytest.raises(StorageError, match="and the variables listed have 4"):
        checkpoint.load(folder)


@pytest.mark.parametrize("members", [[], ["v00001.npy"], ["../../v00000.npy"], ["v00000.npy"] * 2])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_other_members_than_listed_are_refused(tmp_path, members):
    folder = saved(tmp_path, 1, 2)[1]
    forge(
        folder,
        lambda archive: [archive.writestr(member, b"") for member in members],
        variables=[{"path": "a", "shape": [1], "dtype": "float32"}],
    )
    assert_skipped(
        tmp_path, "is damaged: state.npz does not hold the variables that meta.json lists"
    )


def test_a_newer_format_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(meta_file, "FORMAT", 3)
    saved(tmp_path, 2)
    monkeypatch.setattr(meta_file, "FORMAT", 2)
    saved(tmp_path / "x", 1)
    shutil.move(tmp_path / "x" / "000001", tmp_path / "000001")
    assert_skipped(tmp_path, "is damaged: its format is 3, and this fitx reads 2")


def test_a_file_in_place_of_the_root_is_a_storage_error(tmp_path):
    (tmp_path / "checkpoints").write_text("")
    with pytest.raises(StorageError) as error:
        saved(tmp_path / "checkpoints", 1)
    assert str(error.value) == (
        f"cannot write checkpoint {tmp_path}/checkpoints/000001: File exists. "
        "Earlier checkpoints are untouched."
    )
    with pytest.raises(StorageError) as error:
        checkpoint.newest(tmp_path / "checkpoints")
    assert str(error.value) == f"cannot read {tmp_path}/checkpoints: Not a directory"


@pytest.mark.parametrize("limit", [0, 1, 100, 4096, 8000, 8500])
def test_a_disk_that_fills_up_leaves_the_checkpoints_before_it(tmp_path, limit):
    checkpoint.save(tmp_path, 1, STATE, {}, keep=2)
    run = subprocess.run(
        [sys.executable, "-c", SAVER, str(tmp_path), "2", "3"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    assert run.stderr.splitlines()[-1] == (
        f"fitx.errors.StorageError: cannot write checkpoint {tmp_path}/000002: File too large. "
        "Earlier checkpoints are untouched."
    )
    assert "Exception ignored" not in run.stderr
    assert names(tmp_path) == ["000001"]
    assert checkpoint.newest(tmp_path).step == 1


def test_a_kill_at_any_instant_leaves_a_whole_checkpoint(tmp_path, times):
    random = np.random.default_rng(0)
    step = 0
    for _ in range(times(8, 200)):
        command = [sys.executable, "-c", SAVER, str(tmp_path), str(step), "1000000"]
        saver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        reported = int(saver.stdout.readline())
        with pytest.raises(subprocess.TimeoutExpired):
            saver.wait(random.uniform(0, 0.05))
        saver.send_signal(signal.SIGKILL)
        reported = max([reported, *map(int, saver.communicate()[0].split())])

        found = checkpoint.newest(tmp_path)
        assert found.step >= reported
        assert (found.meta, found.skipped) == ({"epoch": found.step}, ())
        step = found.step + 1
    saved(tmp_path, step, keep=1)
    assert names(tmp_path) == [f"{step:06d}"]


def test_a_reader_finds_a_whole_one_while_a_trainer_replaces_them(tmp_path):
    command = [sys.executable, "-c", SAVER.replace("keep=2", "keep=1"), str(tmp_path), "0", "9999"]
    saver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        saver.stdout.readline()
        steps = [checkpoint.newest(tmp_path).step for _ in range(100)]
    finally:
        saver.kill()
        saver.communicate()
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]
