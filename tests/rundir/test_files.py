import os
import resource
import subprocess
import sys

import pytest

from fitx.errors import StorageError
from fitx.rundir import files


def test_a_file_is_written_and_replaced_without_leftovers(tmp_path):
    path = tmp_path / "a.txt"
    files.write_atomically(path, "grün")
    files.write_atomically(path, b"second")

    assert path.read_bytes() == b"second"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_name_of_255_bytes_can_be_written(tmp_path):
    files.write_atomically(tmp_path / ("a" * 255), "x")


def test_a_link_is_replaced_and_not_followed(tmp_path):
    target = tmp_path / "precious"
    target.write_text("data")
    (tmp_path / "link").symlink_to(target)

    files.write_atomically(tmp_path / "link", "new")
    assert target.read_text() == "data"
    assert (tmp_path / "link").read_text() == "new"


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "gone" / "a"
    with pytest.raises(StorageError) as error:
        files.write_atomically(path, "x")
    assert str(error.value) == f"cannot write {path}: No such file or directory"


def test_a_folder_in_the_way_leaves_no_temporary_file(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError) as error:
        files.write_atomically(tmp_path / "a", "x")
    assert str(error.value) == f"cannot write {tmp_path}/a: Is a directory"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("limit", [0, 1, 4095, 4096, 9999])
def test_a_disk_that_fills_up_leaves_the_old_file_whole(tmp_path, limit):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    script = (
        "import sys; from pathlib import Path; from fitx.rundir import files\n"
        "files.write_atomically(Path(sys.argv[1]), bytes(10_000))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    assert run.stderr.splitlines()[-1].endswith(
        f"StorageError: cannot write {path}: File too large"
    )
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, [0] * 5000)
    script = (
        "import sys; from pathlib import Path; from fitx.rundir import files\n"
        "print(flush=True)\n"
        "while True: files.write_json(Path(sys.argv[1]), [0] * 5000)"
    )
    command = [sys.executable, "-c", script, str(path)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        writer.stdout.readline()
        for _ in range(200):
            assert len(files.read_json(path)) == 5000
    finally:
        writer.kill()
        writer.communicate()


def test_json_is_indented_and_keeps_letters(tmp_path):
    files.write_json(tmp_path / "a", {"größe": [1, None]})
    assert (tmp_path / "a").read_text() == '{\n  "größe": [\n    1,\n    null\n  ]\n}\n'


def test_bytes_of_the_command_line_that_are_no_utf8_come_back(tmp_path):
    files.write_json(tmp_path / "a", "\udcff")
    assert files.read_json(tmp_path / "a") == "\udcff"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StorageError) as error:
        files.read_json(tmp_path / "a")
    assert str(error.value) == f"cannot read {tmp_path}/a: No such file or directory"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(StorageError) as error:
        files.read_json(tmp_path / "a")
    assert str(error.value) == f"cannot read {tmp_path}/a: it is not a regular file"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0)"),
        (b'{"a": 1', "Expecting ',' delimiter: line 1 column 8 (char 7)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[" * 100_000, "it is nested deeper than 200 levels"),
        (b"1" * 5000, "Exceeds the limit (4300 digits) for integer string conversion"),
    ],
)
def test_damage_is_named(tmp_path, content, reason):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(StorageError) as error:
        files.read_json(tmp_path / "a")
    assert str(error.value).startswith(f"{tmp_path}/a is damaged: {reason}")
