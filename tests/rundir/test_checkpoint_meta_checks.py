import json

import pytest

from fitx.errors import StorageError
from fitx.rundir.checkpoint_meta_checks import meta_check, parse_meta, position_problem

LINES = [
    {"epoch": 1, "step": 3, "seconds": 0.5, "loss": 2.0},
    {"epoch": 2, "step": 6, "seconds": 0.5, "loss": "nan"},
]
JOURNAL = "".join(f"{json.dumps(line)}\n" for line in LINES)
META = {
    **{"epoch": 2, "step": 8, "passed": 2, "phase": "epoch", "stopping": False},
    **{"seconds": 1.0, "begun": 0.25, "journal_bytes": len(JOURNAL), "run": "0123456789abcdef"},
    **{"callbacks": {"Mine": {"waited": 3}}, "callback_options": {"Mine": "{}"}},
    "built_rates": {"optimizers/model/adam/learning_rate": 0.1},
    "batch_size": 8,
    "best": {"monitor": "loss", "mode": "min", "epoch": 1, "value": 2.0},
}
CHANGED = {"resumed": [{"changes": ["data.batch_size: 8 -> 16"]}]}


@pytest.fixture
def told(tmp_path):
    """Return what is wrong with a meta that differs from a right one, beside a journal."""

    def told(journal=JOURNAL, facts=(), **changes):
        (tmp_path / "metrics.jsonl").write_text(journal)
        try:
            meta_check(tmp_path, dict(facts))({**META, **changes})
        except (ValueError, StorageError) as error:
            return str(error).replace(f"{tmp_path}/", "")
        return ""

    return told


def test_what_a_checkpoint_says_is_taken(told):
    assert told() == ""
    assert told(best={**META["best"], "epoch": 2, "value": float("nan")}) == ""
    assert told(JOURNAL + '{"epoch": 3, "st') == ""
    assert told(journal_bytes=0, epoch=0, step=2, best=None) == ""
    assert told(step=6, passed=0, phase="between") == ""


WRONG = {
    "epoch": (-1, "meta.epoch: expected greater than or equal to 0, found -1"),
    "step": (10**30, f"meta.step: expected less than {10**18}, found {10**30}"),
    "passed": (True, "meta.passed: expected an integer, found true"),
    "phase": ("x", "meta.phase: expected 'between', 'epoch' or 'validation', found \"x\""),
    "seconds": (float("inf"), "meta.seconds: expected a finite number, found Infinity"),
    "journal_bytes": ([], "meta.journal_bytes: expected an integer, found []"),
    "callbacks": (7, "meta.callbacks: expected an object, found 7"),
    "callback_options": ({"Mine": "{"}, "meta.callback_options.Mine: Expecting property name"),
    "best": ({"monitor": 1}, "meta.best.monitor: expected a string, found 1"),
    "batch_size": (0, "meta.batch_size: expected greater than or equal to 1, found 0"),
    "built_rates": ({"a": "1"}, 'meta.built_rates.a: expected a number, found "1"'),
    "run": (1, "meta.run: expected a string, found 1"),
    "more": (1, "meta.more: unknown; this version of fitx writes no such field"),
}


@pytest.mark.parametrize("field", WRONG)
def test_a_field_that_no_run_can_have_is_named(field):
    value, text = WRONG[field]
    with pytest.raises(ValueError) as error:
        parse_meta({**META, field: value})
    assert str(error.value).startswith(f"meta.json: {text}")


def test_a_field_that_is_missing_is_named():
    for field in ("epoch", "journal_bytes", "callbacks"):
        meta = {key: value for key, value in META.items() if key != field}
        with pytest.raises(ValueError, match=f"^meta.json: meta.{field}: missing$"):
            parse_meta(meta)


def test_fields_that_cannot_stand_together_are_refused(told):
    assert "phase is 'between', which cannot be after 2 steps" in told(phase="between")
    assert "phase is 'epoch', which cannot be after 0 steps" in told(passed=0)
    assert "step is 2, too few for 2 epochs and steps of another" in told(step=2)
    assert "best.epoch is 3, of 2 that were over" in told(best={**META["best"], "epoch": 3})
    assert "do not name the same callbacks" in told(callbacks={})


def test_a_position_that_the_journal_contradicts_is_refused(told):
    assert told(step=10**17) == f"meta.json: meta.step is {10**17}: not 2 more than the 6 in {NAME}"
    assert told(epoch=1) == f"meta.json: meta.epoch is 1, and {NAME} held 2 epochs"
    assert told(best={**META["best"], "value": 1.0}).startswith("meta.json: meta.best is loss 1.0")
    size = len(JOURNAL) - 1
    assert (
        told(journal_bytes=size)
        == f"meta.json: meta.journal_bytes is {size}, within a line of {NAME}"
    )
    assert told(journal_bytes=999) == (
        f"{NAME} has {len(JOURNAL)} bytes, and the checkpoint expects 999 or more"
    )


NAME = "metrics.jsonl"


def test_a_journal_whose_epochs_do_not_follow_each_other_is_refused(told):
    twice = JOURNAL.replace('"epoch": 2', '"epoch": 1')
    assert told(twice) == f"{NAME}:2: epoch: expected 2, found 1"
    back = JOURNAL.replace('"step": 6', '"step": 3')
    assert told(back) == f"{NAME}:2: step: expected more than 3, found 3"
    assert told(JOURNAL.replace("0.5", " -5")).startswith(f"{NAME}:1 is damaged: seconds: ")


def test_steps_are_counted_anew_where_the_data_has_changed(told):
    """Two batches of eight were trained on, then one of sixteen."""
    assert "meta.step is 9" in told(step=9)
    assert told(facts=CHANGED, step=9) == ""
    assert "meta.step is 6" in told(facts=CHANGED, step=6)


def test_a_position_beyond_the_steps_of_an_epoch_is_refused():
    assert position_problem(META, 3, 8, {}) is None
    assert position_problem(META, 1, 8, {}) == "meta.passed is 2, and an epoch has 1 steps"
    assert position_problem({**META, "step": 10**17}, 3, 8, {}).startswith(f"meta.step is {10**17}")
    assert position_problem({**META, "step": 20}, 3, 8, CHANGED) is None
    assert position_problem(META, 3, 16, {}) == "meta.batch_size is 8, and the experiment says 16"
    validating = {**META, "phase": "validation"}
    assert (
        position_problem(validating, 3, 8, {})
        == "meta.passed is 2, and a validation comes after 3 steps"
    )
    assert position_problem({**validating, "stopping": True}, 3, 8, {}) is None
