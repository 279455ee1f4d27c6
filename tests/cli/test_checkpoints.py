"""The `fitx checkpoints` command."""

import json
import os
import re
import subprocess
import sys
import threading
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner

from fitx import checkpoint
from fitx.cli.checkpoints import _file_size
from fitx.cli.main import group
from fitx.commands.checkpoints import list_checkpoints
from fitx.errors import StorageError, UsageError
from fitx.rundir import lock, record
from fitx.rundir.journal import Journal

BEST = {"monitor": "val_loss", "mode": "min", "epoch": 1, "value": 0.25}
STATE = {"a": np.arange(500.0)}
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"


def meta(step, *, journal=None, best=None):
    """Return the contents of a checkpoint at the end of an epoch, or without a journal."""
    where = {"epoch": step // 5, "passed": 0, "phase": "between"}
    if journal is None:
        where = {"epoch": 0, "passed": step, "phase": "epoch"}
    size = journal.size if journal is not None else 0
    others = {"stopping": False, "seconds": 1.0, "begun": 0.0}
    others |= {"callbacks": {}, "callback_options": {}, "built_rates": {}, "batch_size": 8}
    return {**where, **others, "step": step, "journal_bytes": size, "best": best}


@pytest.fixture
def run(tmp_path, monkeypatch, whole_record):
    """Write a run with checkpoints of some steps, as training does."""
    monkeypatch.chdir(tmp_path)

    def run(*steps, **facts):
        folder = tmp_path / "runs/mine/20261122-193017-2b5a"
        folder.mkdir(parents=True)
        started = record.start(folder, whole_record())
        with closing(Journal(folder)) as journal:
            for step in steps:
                journal.append(step // 5, step, 0.5, {"val_loss": 0.25})
                said = meta(step, journal=journal, best=BEST if step > 5 else None)
                checkpoint.save(folder / "checkpoints", step, STATE, said, keep=9)
        if facts:
            started.update(**facts)
        return folder

    return run


def typed(*words):
    """Run the command in this process; return its exit code and what it prints."""
    done = CliRunner().invoke(group, ["checkpoints", *words])
    if isinstance(done.exception, Exception):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def damage(folder, step):
    state = folder / f"checkpoints/{step:06d}/state.npz"
    state.write_bytes(state.read_bytes()[:-1])


def test_every_checkpoint_is_listed_with_what_it_holds(run):
    run(5, 12, status="finished", last="000012", best=BEST)
    code, out, err = typed("mine")
    assert (code, err) == (0, "")
    assert re.fullmatch(
        rf"""runs/mine/20261122-193017-2b5a: finished
checkpoint  epoch  phase    size    written                  best by then  state
000005      1      between  4\.\d kB  {TIME}                whole
000012      2      between  4\.\d kB  {TIME}  epoch 1       whole, last
best: epoch 1, val_loss 0\.25
""",
        out,
    )


def test_json_is_one_object(run):
    folder = run(5, 12, status="interrupted", last="000012", best=BEST)
    damage(folder, 5)
    code, out, err = typed("mine", "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    listing = json.loads(out)
    damaged, whole = listing.pop("checkpoints")
    path = "runs/mine/20261122-193017-2b5a"
    assert listing == {"run": path, "status": "interrupted", "last": "000012", "best": BEST}
    assert re.fullmatch(TIME, whole.pop("written"))
    size = sum(file.stat().st_size for file in (folder / "checkpoints/000012").iterdir())
    assert whole == {
        "name": "000012",
        "step": 12,
        "epoch": 2,
        "phase": "between",
        "best": BEST,
        "bytes": size,
        "damage": "",
        "whole": True,
    }
    assert (damaged["step"], damaged["epoch"], damaged["whole"]) == (5, None, False)
    assert damaged["damage"].startswith(f"checkpoint {path}/checkpoints/000005 is damaged: state")


def test_a_damaged_one_is_told_with_the_reason(run):
    folder = run(5, 12)
    damage(folder, 12)
    code, out, _ = typed("mine")
    assert code == 0
    _, _, first, second, reason = out.splitlines()
    assert first.endswith("UTC  whole") and second.endswith("UTC  damaged")
    size = (folder / "checkpoints/000012/state.npz").stat().st_size
    assert reason == (
        "checkpoint runs/mine/20261122-193017-2b5a/checkpoints/000012 is damaged: "
        f"state.npz has {size} bytes and had {size + 1}"
    )


def test_when_none_is_whole_the_exit_code_is_7(run):
    folder = run(5, 12)
    damage(folder, 5)
    damage(folder, 12)
    said = "no checkpoint of runs/mine/20261122-193017-2b5a is whole"
    code, out, err = typed("mine")
    assert (code, err, out.count("damaged: ")) == (7, f"{said}\n", 2)
    code, out, err = typed("mine", "--json")
    assert (code, err) == (7, f"{said}\n")
    assert (json.loads(out)["error"], json.loads(out)["code"]) == (said, 7)


def test_a_run_without_any_says_so(run):
    run()
    said = "runs/mine/20261122-193017-2b5a: killed\nno checkpoint has been written\n"
    assert typed("mine") == (0, said, "")


def test_leftovers_and_other_files_are_no_checkpoints(run):
    folder = run(5)
    (folder / "checkpoints/.tmp-1-abcd").mkdir()
    (folder / "checkpoints/notes.txt").write_text("")
    assert [entry.name for entry in list_checkpoints(folder).entries] == ["000005"]


def test_a_file_in_the_place_of_a_checkpoint_is_damaged(run):
    folder = run(5)
    (folder / "checkpoints/000009").write_text("")
    entry = list_checkpoints(folder).entries[1]
    assert (entry.bytes, entry.epoch) == (None, None)
    assert entry.damage == (
        f"checkpoint {folder}/checkpoints/000009 cannot be read: meta.json: Not a directory"
    )


def test_the_status_is_the_true_one(run):
    folder = run(5)
    assert list_checkpoints(folder).status == "killed"
    with lock.hold(folder):
        assert list_checkpoints(folder).status == "running"


def test_a_damaged_record_hides_no_checkpoint(run):
    folder = run(5, status="finished")
    (folder / "run.json").write_text("{")
    code, out, _ = typed("mine")
    assert code == 0
    assert out.startswith("runs/mine/20261122-193017-2b5a: unknown\n")
    assert "\n000005 " in out


def test_facts_that_no_run_can_have_are_damage(run):
    folder = run(5, status="finished", last=["000005"], best="\x1b[2J")
    checkpoint.save(folder / "checkpoints", 9, STATE, {**meta(9), "phase": "\x1b[2J"}, keep=9)
    checkpoint.save(folder / "checkpoints", 10, STATE, {**meta(10), "epoch": 12}, keep=9)
    os.utime(folder / "checkpoints/000009/meta.json", (2**40, 2**40))
    listing = list_checkpoints(folder)
    assert (listing.status, listing.last, listing.best) == ("unknown", None, None)
    whole, strange, other = listing.entries
    assert whole.damage == ""
    assert (strange.epoch, strange.phase, strange.best) == (None, None, None)
    assert "is damaged: meta.json: meta.phase: expected 'between', 'epoch' or" in strange.damage
    assert "is damaged: meta.json: meta: step is 10, too few for 12 epochs" in other.damage
    assert json.dumps(listing.to_json())


def test_control_characters_do_not_reach_the_terminal(run):
    run(5, status="finished", best={**BEST, "monitor": "\x1b[2J"})
    _, out, _ = typed("mine")
    assert r"\x1b[2J" in out and "\x1b" not in out


def test_a_value_that_is_not_finite_is_json_too(run):
    folder = run(status="diverged")
    best = {**BEST, "value": float("nan")}
    with closing(Journal(folder)) as journal:
        journal.append(1, 5, 0.5, {"val_loss": float("nan")})
        said = meta(5, journal=journal, best=best)
    checkpoint.save(folder / "checkpoints", 5, STATE, said, keep=9)
    (entry,) = json.loads(typed("mine", "--json")[1])["checkpoints"]
    assert entry["best"]["value"] == "nan"


def test_listing_writes_nothing(run):
    folder = run(5, 12)
    paths = [folder, *folder.rglob("*")]
    before = {path: path.stat().st_mtime_ns for path in paths}
    typed("mine")
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before


def test_a_training_may_replace_them_meanwhile(run):
    folder = run(5)
    over = threading.Event()

    def train():
        for step in range(6, 10_000):
            checkpoint.save(folder / "checkpoints", step, STATE, meta(step), keep=2)
            if over.is_set():
                return

    trainer = threading.Thread(target=train)
    trainer.start()
    try:
        listings = [list_checkpoints(folder) for _ in range(20)]
    finally:
        over.set()
        trainer.join()
    assert not any(listing.is_lost for listing in listings)
    assert not [entry.damage for listing in listings for entry in listing.entries if entry.damage]
    assert any(listing.entries for listing in listings)


def test_a_run_that_is_not_there_and_checkpoints_that_cannot_be_read_are_told(run):
    folder = run()
    with pytest.raises(UsageError, match="^no run is called 'mime': .* Did you mean 'mine'"):
        typed("mime")
    (folder / "checkpoints").write_text("")
    with pytest.raises(StorageError) as error:
        typed("mine")
    assert str(error.value) == (
        "cannot read runs/mine/20261122-193017-2b5a/checkpoints: Not a directory"
    )


def test_sizes_are_told_in_units():
    sizes = {999: "999 B", 1000: "1.0 kB", 999_960: "1.0 MB", 1.5e9: "1.5 GB", 2e12: "2,000.0 GB"}
    assert {count: _file_size(count) for count in sizes} == sizes


def test_tensorflow_is_not_imported(run):
    run(5)
    script = (
        "import sys\nfrom fitx.cli.main import main\nsys.argv = ['fitx', 'checkpoints', 'mine']\n"
        "try: main()\nfinally: print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("\n[]\n")
