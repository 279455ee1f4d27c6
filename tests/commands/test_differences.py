import json

import ml_dtypes
import numpy as np
import pytest

from fitx import checkpoint
from fitx.commands.selftest.differences import differences, results
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
    """Write the files of a finished run; return its results."""
    runs = iter(range(100))

    def forged(state=None, meta=None, lines=LINES, values=VALUES):
        run = tmp_path / str(next(runs))
        about = {**META, **(meta or {})}
        arrays = {
            name: array for name, array in {**STATE, **(state or {})}.items() if array is not None
        }
        checkpoint.save(run / "checkpoints", about["step"], arrays, about, keep=9)
        (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        (run / "summary.json").write_text(json.dumps({"metrics": values}))
        return results(run)

    return forged


def test_two_runs_that_differ_only_in_their_times_are_the_same(forged):
    slower = {"seconds": 9.0, "begun": 1.0, "journal_bytes": 99}
    lines = [{**line, "seconds": 5.0} for line in LINES]
    assert differences(forged(), forged(meta=slower, lines=lines)) == []


def test_causes_come_before_consequences(forged):
    names = [
        *("networks/model/bias", "networks/model/kernel", "optimizers/model/iteration"),
        *("means/train/loss/total", "step/waves", "graph/state", "callbacks/EarlyStopping/best"),
        *("random/numpy", "final/networks/model/kernel"),
    ]
    other = forged({name: array + np.ones((), array.dtype) for name, array in STATE.items()})
    assert [text.split(":")[0] for text in differences(forged(), other)] == names


@pytest.mark.parametrize(
    ("name", "array", "text"),
    [
        (
            "networks/model/kernel",
            [[0, 0, 0.25], [0, -0.5, 0]],
            "2 of 6 numbers differ, by at most 0.5",
        ),
        ("networks/model/kernel", [[0, 0, 0], [0, 0, np.nan]], "1 of 6 numbers differ"),
        # Equal, but not the same to the bit.
        ("networks/model/kernel", [[-0.0, 0, 0], [0, 0, 0]], "1 of 6 numbers differ, by at most 0"),
        ("networks/model/kernel", [[0, 0]], "float32 (1, 2) instead of float32 (2, 3)"),
        ("networks/model/bias", [0, 2, 0], "1 of 3 numbers differ, by at most 2"),
        ("step/waves", [4 + 6j], "1 of 1 numbers differ, by at most 5"),
        ("graph/state", None, "only one of the two runs has it"),
        ("networks/other", [1.0], "only one of the two runs has it"),
    ],
)
def test_an_array_that_is_not_the_same_to_the_bit_is_named(forged, name, array, text):
    dtype = STATE[name].dtype if name in STATE else "float32"
    other = None if array is None else np.array(array, dtype)
    assert differences(forged(), forged({name: other})) == [f"{name}: {text}"]


def test_the_position_of_a_run_that_ended_elsewhere_comes_first(forged):
    other = forged({"networks/model/bias": None}, {"step": 6, "epoch": 1}, LINES[:1])
    assert differences(forged(), other) == [
        "meta.json: epoch: 1 instead of 2",
        "meta.json: step: 6 instead of 8",
        "networks/model/bias: only one of the two runs has it",
        "metrics.jsonl, epoch 2: epoch: only one of the two runs has it",
        "metrics.jsonl, epoch 2: step: only one of the two runs has it",
        "metrics.jsonl, epoch 2: loss: only one of the two runs has it",
    ]


def test_states_of_callbacks_and_the_best_epoch_are_compared(forged):
    other = {"callbacks": {"EarlyStopping": {"wait": 2}, "Moody": {}}, "best": None}
    assert differences(forged(), forged(meta=other)) == [
        'callback EarlyStopping: {"wait": 2} instead of {"best": Infinity, "wait": 1}',
        'best epoch: null instead of {"epoch": 1, "value": NaN}',
    ]


def test_logged_and_final_values_are_compared(forged):
    lines = [LINES[0], {**LINES[1], "loss": 0.25, "more": 1}]
    other = forged(lines=lines, values={"loss": 0.5, "test_loss": 0.5})
    assert differences(forged(), other) == [
        "metrics.jsonl, epoch 2: loss: 0.25 instead of 0.5",
        "summary.json: test_loss: 0.5 instead of 0.75",
        "metrics.jsonl, epoch 2: more: only one of the two runs has it",
    ]


def test_a_run_without_a_checkpoint_has_no_results(tmp_path):
    with pytest.raises(StorageError, match=f"^{tmp_path} has no checkpoint.$"):
        results(tmp_path)
