import json

import ml_dtypes
import numpy as np
import pytest

from fitx import checkpoint
from fitx.commands.selftest.difference import differences, outcome
from fitx.commands.selftest.hints import hint
from fitx.errors import StorageError

STATE = {
    "callbacks/EarlyStopping/best": np.array(0.5),
    "final/networks/model/kernel": np.zeros((2, 3), "float32"),
    "graph/state": np.array([1, 2], "int64"),
    "means/train/loss/total": np.array(1.5, "float32"),
    "networks/model/bias": np.zeros(3, ml_dtypes.bfloat16),
    "networks/model/kernel": np.zeros((2, 3), "float32"),
    "optimizers/model/iteration": np.array(7, "int64"),
    "random/numpy": np.arange(4, dtype="uint32"),
    "step/waves": np.array([1 + 2j]),
}
META = {
    "epoch": 2,
    "step": 8,
    "phase": "between",
    "stopping": False,
    "callbacks": {"EarlyStopping": {"wait": 1, "best": float("inf")}, "Moody": {}},
    "best": {"epoch": 1, "value": float("nan")},
    "seconds": 1.0,
    "begun": 0.0,
    "journal_bytes": 100,
}
LINES = [{"epoch": n, "step": 4 * n, "seconds": 0.1, "loss": 1 / n} for n in (1, 2)]
VALUES = {"loss": 0.5, "test_loss": 0.75}


@pytest.fixture
def forged(tmp_path):
    """Leave a run as training does, and read what it had come to."""
    runs = iter(range(100))

    def forged(state=None, meta=None, lines=LINES, values=VALUES, at=None):
        run = tmp_path / str(next(runs))
        about = {**META, **(meta or {})}
        arrays = {
            name: array for name, array in {**STATE, **(state or {})}.items() if array is not None
        }
        checkpoint.save(run / "checkpoints", about["step"], arrays, about, keep=9)
        (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        (run / "summary.json").write_text(json.dumps({"metrics": values}))
        return outcome(run, at)

    return forged


def told(expected, found):
    return [str(difference) for difference in differences(expected, found)]


def test_two_runs_that_differ_only_in_how_long_they_took_are_the_same(forged):
    slower = {"seconds": 9.0, "begun": 1.0, "journal_bytes": 99}
    lines = [{**line, "seconds": 5.0} for line in LINES]
    assert told(forged(), forged(meta=slower, lines=lines)) == []


def test_what_the_rest_may_follow_from_comes_first(forged):
    names = [
        *("networks/model/bias", "networks/model/kernel", "optimizers/model/iteration"),
        *("means/train/loss/total", "step/waves", "graph/state", "callbacks/EarlyStopping/best"),
        *("random/numpy", "final/networks/model/kernel"),
    ]
    other = forged({name: array + np.ones((), array.dtype) for name, array in STATE.items()})
    found = differences(forged(), other)
    assert [difference.name for difference in found] == names
    assert [difference.kind for difference in found] == [name.split("/")[0] for name in names]


@pytest.mark.parametrize(
    ("name", "array", "text"),
    [
        (
            "networks/model/kernel",
            [[0, 0, 0.25], [0, -0.5, 0]],
            "2 of 6 numbers differ, by at most 0.5",
        ),
        ("networks/model/kernel", [[0, 0, 0], [0, 0, np.nan]], "1 of 6 numbers differ"),
        # Equal, and not the same to the bit.
        ("networks/model/kernel", [[-0.0, 0, 0], [0, 0, 0]], "1 of 6 numbers differ, by at most 0"),
        ("networks/model/kernel", [[0, 0]], "float32 (1, 2) instead of float32 (2, 3)"),
        ("networks/model/bias", [0, 2, 0], "1 of 3 numbers differ, by at most 2"),
        ("step/waves", [4 + 6j], "1 of 1 numbers differ, by at most 5"),
        ("graph/state", None, "only one of the two has it"),
        ("networks/other", [1.0], "only one of the two has it"),
    ],
)
def test_an_array_that_is_not_the_same_to_the_bit_is_told(forged, name, array, text):
    dtype = STATE[name].dtype if name in STATE else "float32"
    other = None if array is None else np.array(array, dtype)
    assert told(forged(), forged({name: other})) == [f"{name}: {text}"]


def test_a_run_that_ended_at_another_step_says_so_before_all_else(forged):
    found = differences(forged(), forged({"networks/model/bias": None}, {"step": 6, "epoch": 1}))
    assert [(one.kind, str(one)) for one in found[:3]] == [
        ("position", "epoch: 1 instead of 2"),
        ("position", "step: 6 instead of 8"),
        ("networks", "networks/model/bias: only one of the two has it"),
    ]
    assert str(found[-1]) == "metrics.jsonl: 1 lines instead of 2"


def test_what_callbacks_remember_and_the_best_epoch_are_compared(forged):
    other = {"callbacks": {"EarlyStopping": {"wait": 2}, "Moody": {}}, "best": None}
    assert told(forged(), forged(meta=other)) == [
        'callback EarlyStopping: {"wait": 2} instead of {"best": Infinity, "wait": 1}',
        'best: nothing instead of {"epoch": 1, "value": NaN}',
    ]


def test_the_journal_and_the_final_values_are_compared(forged):
    lines = [LINES[0], {**LINES[1], "loss": 0.25, "more": 1}]
    assert told(forged(), forged(lines=lines, values={"loss": 0.5, "test_loss": 0.5})) == [
        "epoch 2 in metrics.jsonl: loss: 0.25 instead of 0.5",
        "epoch 2 in metrics.jsonl: more: 1 instead of nothing",
        "test_loss: 0.5 instead of 0.75",
    ]


def test_of_a_checkpoint_before_the_end_only_the_epochs_until_then_count(forged):
    early = forged(meta={"epoch": 1}, at="000008")
    assert [line["epoch"] for line in early.epochs] == [1]
    assert early.values == {}


def test_a_run_without_a_checkpoint_has_come_to_nothing(tmp_path):
    with pytest.raises(StorageError, match=f"^{tmp_path} has no checkpoint.$"):
        outcome(tmp_path)


@pytest.mark.parametrize(
    ("change", "beginning"),
    [
        (
            {"state": {"callbacks/EarlyStopping/best": np.array(0.0)}},
            "get_state or set_state of this callback",
        ),
        (
            {"state": {"random/numpy": np.arange(1, 5, dtype="uint32")}},
            "Python's or NumPy's random",
        ),
        (
            {"lines": [*LINES[:1], {**LINES[1], "loss": 1.0}]},
            "all arrays are the same; what is logged",
        ),
        ({"state": {"graph/state": np.array([2, 2])}}, "the training depends on what fitx cannot"),
        ({"meta": {"step": 7}}, "a callback that ends the training has to remember"),
    ],
)
def test_a_hint_tells_what_may_be_the_reason(forged, change, beginning):
    first = differences(forged(), forged(**change))[0]
    assert hint(first, {"EarlyStopping": {"wait": 1}, "LearningRateScheduler": {}}).startswith(
        beginning
    )


def test_callbacks_of_which_nothing_is_kept_are_named_first_of_all(forged):
    first = differences(forged(), forged({"graph/state": None}))[0]
    lost = "no get_state and set_state, so what it remembers is lost: Moody"
    assert hint(first, META["callbacks"]) == lost
