"""The files of a run are the old or the new ones, wherever the process dies or the disk fails."""

import pytest

from fitx.rundir import folder, journal, lock, record

LINES = [
    {"epoch": epoch, "step": epoch * 10, "seconds": 0.5, "loss": 1 / epoch} for epoch in (1, 2, 3)
]


@pytest.fixture
def harmed(faults, kills, errors):
    """Every case of a scenario under every kind of fault."""
    return lambda scenario: faults(scenario, *kills, *errors)


def assert_told(case, error, reason):
    """A case that ended with an error says so in one line, with code 7."""
    assert (case["error"], case["code"]) == (f"{error}: {reason(case['kind'])}", 7), case


def test_a_replaced_file_is_the_old_or_the_new_one(harmed, reason):
    for case in harmed("replace"):
        path, reported = case["folder"] / "file", max(case["reported"], default=0)
        content = path.read_text() if path.exists() else "0" * 10_000
        assert content in ("0123"[n] * 10_000 for n in (reported, min(reported + 1, 3))), case
        if "error" in case:
            assert_told(case, f"cannot write {path}", reason)
        if "error" in case and case["kind"].endswith("once"):
            assert list(case["folder"].glob(".tmp-*")) == []


def test_a_record_says_what_was_so_before_or_is_so_now(harmed, reason):
    legal = {0: (None, "running"), 1: ("running", "finished"), 2: ("finished",)}
    for case in harmed("recorded"):
        run = case["folder"]
        facts = record.load(run) if (run / "run.json").exists() else {"status": None}
        assert facts["status"] in legal[len(case["reported"])], case
        assert len(facts.get("argv", [1] * 2000)) == 2000
        if "error" in case:
            assert_told(case, f"cannot write {run / 'run.json'}", reason)


def test_a_journal_holds_every_epoch_reported_and_whole_lines(harmed, reason):
    for case in harmed("journals"):
        run, reported = case["folder"], len(case["reported"])
        if not (run / journal.NAME).exists():
            assert reported == 0
            continue
        lines = journal.read(run)
        assert lines in (LINES[:reported], LINES[: reported + 1]), case
        if "error" in case:
            action = "read" if case["error"].startswith("cannot read") else "write"
            assert_told(case, f"cannot {action} {run / journal.NAME}", reason)
        with_one_more = journal.Journal(run)
        with_one_more.append(9, 90, 0.5, {"loss": 1.0})
        with_one_more.close()
        assert journal.read(run) == [*lines, {**LINES[0], "epoch": 9, "step": 90}]


def test_a_journal_gone_on_with_keeps_what_a_checkpoint_relies_on(harmed):
    old = [{"epoch": epoch, "step": epoch * 10, "seconds": 1, "old": 1} for epoch in (1, 2, 3)]
    longer = [*old[:2], {"epoch": 3, "step": 30, "seconds": 0.5, "new": 2}]
    legal = {0: (None, old), 1: (old, old[:2]), 2: (old[:2], longer), 3: (longer,)}
    for case in harmed("journal_gone_on_with"):
        is_there = (case["folder"] / journal.NAME).exists()
        lines = journal.read(case["folder"]) if is_there else None
        assert lines in legal[len(case["reported"])], case


def test_a_run_is_made_or_is_not_and_the_next_one_can_be(harmed):
    for case in harmed("run_made"):
        out = case["folder"]
        latest = out / "digits" / "latest"
        assert not latest.is_symlink() or latest.is_dir(), case
        if case["reported"] and latest.is_symlink():
            assert latest.resolve().name == case["reported"][0]
        if "error" in case:
            assert case["code"] == 7
            assert str(out / "digits") in case["error"], case
        made = folder.create_run(out, "digits")
        with lock.hold(made):
            assert latest.resolve() == made.resolve()
