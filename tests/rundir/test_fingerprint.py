"""Files are known again by their content, folders by that of their files."""

import os

import pytest

from fitx.rundir import fingerprint
from fitx.rundir.fingerprint import fingerprints


def test_a_file_is_known_again_by_its_content_alone(tmp_path):
    (tmp_path / "a").write_bytes(b"weights")
    (tmp_path / "b").write_bytes(b"weights")
    os.utime(tmp_path / "b", (1, 1))
    found = fingerprints({"a": tmp_path / "a", "b": tmp_path / "b"})
    assert found["a"] == found["b"]
    assert found["a"]["bytes"] == 7
    (tmp_path / "b").write_bytes(b"Weights")
    assert fingerprints({"a": tmp_path / "b"})["a"] != found["a"]


def test_a_folder_is_known_again_by_names_and_contents(tmp_path):
    def of(name):
        return fingerprints({"it": tmp_path / name})["it"]

    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "b.txt").write_text("b")
        (tmp_path / name / "sub/a.txt").write_text("a")
    assert of("one") == of("two")
    (tmp_path / "two/sub/a.txt").write_text("A")
    assert of("one") != of("two")
    (tmp_path / "two/sub/a.txt").write_text("a")
    (tmp_path / "two/b.txt").rename(tmp_path / "two/c.txt")
    assert of("one") != of("two")


@pytest.mark.parametrize("at", [0, 500, 999])
def test_of_a_large_file_samples_are_read_from_end_to_end(tmp_path, monkeypatch, at):
    monkeypatch.setattr(fingerprint, "WHOLE_BYTES", 100)
    monkeypatch.setattr(fingerprint, "SAMPLE_BYTES", 16)
    content = bytearray(1000)
    (tmp_path / "a").write_bytes(content)
    before = fingerprints({"a": tmp_path / "a"})
    content[at] = 1
    (tmp_path / "a").write_bytes(content)
    after = fingerprints({"a": tmp_path / "a"})
    assert before != after
    assert after["a"]["bytes"] == 1000


def test_what_cannot_be_read_is_left_out_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "folder/pipe")
    files = {name: tmp_path / name for name in ("pipe", "nothing", "folder")}
    assert fingerprints(files).keys() == {"folder"}
