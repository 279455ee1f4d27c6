import hashlib
import subprocess

import pytest

from fitx.errors import StorageError
from fitx.rundir.provenance import read_provenance


def test_the_files_are_copied_as_they_were_when_looked_at(tmp_path):
    file = tmp_path / "step.py"
    file.write_text("as it is trained")
    origin = read_provenance([file])
    file.write_text("as it is edited meanwhile")
    (tmp_path / "source").mkdir()
    copies = origin.copy(tmp_path / "source")
    assert copies == {file: tmp_path / "source/step.py"}
    assert copies[file].read_text() == "as it is trained"
    assert origin.sha256(file) == hashlib.sha256(b"as it is trained").hexdigest()


def test_files_of_one_name_get_numbers(tmp_path):
    files = [tmp_path / folder / "base.yaml" for folder in "abc"]
    for file in files:
        file.parent.mkdir()
        file.write_text(file.parent.name)
    (tmp_path / "source").mkdir()
    copies = read_provenance([*files, files[0]]).copy(tmp_path / "source")
    assert [copy.name for copy in copies.values()] == ["base.yaml", "base-2.yaml", "base-3.yaml"]
    assert [copy.read_text() for copy in copies.values()] == ["a", "b", "c"]


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(StorageError) as error:
        read_provenance([tmp_path / "gone.yaml"])
    assert str(error.value) == f"cannot read {tmp_path}/gone.yaml: No such file or directory"


def test_a_copy_that_cannot_be_written_is_named(tmp_path):
    file = tmp_path / "step.py"
    file.write_text("")
    with pytest.raises(StorageError) as error:
        read_provenance([file]).copy(tmp_path / "nowhere")
    told = f"cannot write {tmp_path}/nowhere/step.py: No such file or directory"
    assert str(error.value) == told


def test_git_is_asked_about_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    origin = read_provenance([])
    assert origin.git() is None
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    origin = read_provenance([])
    answer = origin.git()
    assert answer["dirty"] is False
    assert len(answer["commit"]) == 40
    assert origin.git() == answer
