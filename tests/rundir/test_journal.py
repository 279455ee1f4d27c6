import json
import math
import os
import resource
import subprocess
import sys

import pytest

from fitx.errors import StorageError, UserCodeError
from fitx.rundir import journal


@pytest.fixture
def open_journal(tmp_path):
    opened = []

    def open_it(size=None):
        opened.append(journal.Journal(tmp_path, size))
        return opened[-1]

    yield open_it
    for one in opened:
        one.close()


def test_each_epoch_is_a_line_of_valid_json(tmp_path, open_journal):
    lines = open_journal()
    lines.append(1, 23, 0.12, {"loss": 0.5, "val_loss": 0.75})
    lines.append(2, 46, 0.11, {"loss": math.nan, "val_loss": -math.inf})

    assert (tmp_path / "metrics.jsonl").read_text() == (
        '{"epoch": 1, "step": 23, "seconds": 0.12, "loss": 0.5, "val_loss": 0.75}\n'
        '{"epoch": 2, "step": 46, "seconds": 0.11, "loss": "nan", "val_loss": "-inf"}\n'
    )


def test_what_was_written_is_read_back(tmp_path, open_journal):
    lines = open_journal()
    lines.append(1, 23, 0.12, {"loss": 0.1 + 0.2})
    lines.append(2, 46, 0.11, {"loss": math.inf})

    assert journal.read(tmp_path) == [
        {"epoch": 1, "step": 23, "seconds": 0.12, "loss": 0.1 + 0.2},
        {"epoch": 2, "step": 46, "seconds": 0.11, "loss": math.inf},
    ]


def test_the_size_is_the_offset_after_the_last_line(tmp_path, open_journal):
    lines = open_journal()
    assert lines.size == 0
    lines.append(1, 23, 0.12, {"loss": 0.5})
    lines.sync()
    assert lines.size == (tmp_path / "metrics.jsonl").stat().st_size


def test_a_journal_goes_on_at_the_size_a_checkpoint_kept(tmp_path, open_journal):
    lines = open_journal()
    lines.append(1, 1, 0.1, {"loss": 1.0})
    size = lines.size
    lines.append(2, 2, 0.1, {"loss": 2.0})
    lines.close()
    open_journal(size).append(2, 2, 0.1, {"loss": 3.0})

    assert [line["loss"] for line in journal.read(tmp_path)] == [1.0, 3.0]


def test_half_a_last_line_is_left_out_and_overwritten(tmp_path, open_journal):
    open_journal().append(1, 1, 0.1, {"loss": 1.0})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    assert len(journal.read(tmp_path)) == 1

    open_journal().append(2, 2, 0.1, {"loss": 2.0})
    assert [line["epoch"] for line in journal.read(tmp_path)] == [1, 2]


def test_a_journal_shorter_than_its_checkpoint_is_damaged(tmp_path, open_journal):
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(StorageError) as error:
        open_journal(10)
    assert str(error.value) == (
        f"{tmp_path}/metrics.jsonl is damaged: it has 3 bytes, and the checkpoint expects "
        "10 or more"
    )
    assert (tmp_path / "metrics.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize("name", ["epoch", "step", "seconds"])
def test_a_value_cannot_take_the_name_of_a_column(tmp_path, open_journal, name):
    with pytest.raises(UserCodeError) as error:
        open_journal().append(1, 1, 0.1, {name: 1.0})
    assert str(error.value) == (
        f"the step logs a value named '{name}', which metrics.jsonl reserves: rename the value"
    )
    assert (tmp_path / "metrics.jsonl").read_text() == ""


LINE = '{"epoch": 1, "step": 3, "seconds": 0.5}'
DAMAGE = {
    "{": "Expecting property name",
    "[1]": r"expected an object, found \[1\]",
    "\x00": "Expecting value",
    '{"epoch": 1, "step": 3}': "seconds: missing",
    '{"epoch": 0, "step": 3, "seconds": 0.5}': "epoch: expected greater than or equal to 1",
    '{"epoch": 1, "step": -3, "seconds": 0.5}': "step: expected greater than or equal to 0",
    '{"epoch": 1, "step": 3, "seconds": 1e300}': "seconds: expected less than or equal to",
    '{"epoch": 1, "step": 3, "seconds": 0.5, "loss": "x"}': 'loss: expected a number, found "x"',
    '{"epoch": 1, "step": 3, "seconds": 0.5, "loss": true}': "loss: expected a number, found true",
    '{"epoch": 1, "step": 3, "seconds": 0.5, "loss": 1e999}': "1e999 is too large a number",
}


@pytest.mark.parametrize("line", DAMAGE)
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_text(f"{LINE}\n{line}\n")
    with pytest.raises(
        StorageError, match=rf"^{tmp_path}/metrics.jsonl:2 is damaged: {DAMAGE[line]}"
    ):
        journal.read(tmp_path)


def test_a_missing_journal_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError) as error:
        journal.read(tmp_path)
    assert str(error.value) == f"cannot read {tmp_path}/metrics.jsonl: No such file or directory"


def test_a_link_or_a_pipe_in_its_place_is_refused(tmp_path, open_journal):
    (tmp_path / "metrics.jsonl").symlink_to("precious")
    with pytest.raises(StorageError, match="Too many levels of symbolic links"):
        open_journal()
    (tmp_path / "metrics.jsonl").unlink()
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(StorageError, match="it is not a regular file"):
        open_journal()
    assert not (tmp_path / "precious").exists()


@pytest.mark.parametrize("limit", [0, 1, 50, 100, 150])
def test_a_disk_that_fills_up_leaves_whole_lines(tmp_path, limit):
    script = (
        "import sys; from pathlib import Path; from fitx.rundir.journal import Journal\n"
        "lines = Journal(Path(sys.argv[1]))\n"
        "for epoch in range(1, 9): lines.append(epoch, epoch, 0.5, {'loss': 0.25})"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )

    words = f"StorageError: cannot write {tmp_path}/metrics.jsonl: "
    assert words in run.stderr.splitlines()[-1]
    content = (tmp_path / "metrics.jsonl").read_bytes()
    assert content == b"" or content.endswith(b"\n")
    assert len(journal.read(tmp_path)) == limit // 56
    for line in content.splitlines():
        assert json.loads(line)["loss"] == 0.25
