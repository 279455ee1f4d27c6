"""The rule that chooses a mode by the operations and the arithmetic of a step."""

import json
from pathlib import Path

import pytest

from fitx.engine.modes.auto import choose_mode, is_practical
from fitx.engine.modes.execution_modes import MODES
from fitx.engine.modes.operation_count import StepWork

GRID = Path(__file__).parents[2] / "bench" / "grid.jsonl"
SMALL = StepWork(operations=200, products=1e6, convolutions=0.0, loops=0, numbers=10_000)


def work(**changes):
    return StepWork(**{**vars(SMALL), **changes})


@pytest.mark.parametrize(
    ("changes", "mode", "why"),
    [
        ({}, "fused_xla", "200 operations a step, which are small"),
        ({"loops": 2}, "fused_xla", "200 operations a step, which are small"),
        ({"products": 5e9}, "plain", "200 operations a step, which are large"),
        (
            {"products": 5e9, "numbers": 20_000_000},
            "fused_xla",
            "200 operations a step, on more numbers than they compute with",
        ),
        ({"convolutions": 1e6}, "fused", "200 operations a step, with small convolutions"),
        ({"convolutions": 1e9}, "plain", "200 operations a step, with large convolutions"),
    ],
)
def test_on_a_cpu_the_mode_follows_from_what_a_step_computes(changes, mode, why):
    chosen, said = choose_mode(work(**changes), 1_000, "cpu")

    assert (chosen.name, said) == (mode, why)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_few_steps_are_not_worth_compiling_for(device):
    chosen, why = choose_mode(SMALL, 999, device)

    assert (chosen.name, why) == ("plain", "999 steps are too few for compiling to pay off")


def test_on_a_gpu_xla_compiles_each_step_as_keras_does():
    chosen, why = choose_mode(work(convolutions=1e9), 1_000, "gpu")

    assert (chosen.name, why) == ("xla", "as Keras does on a GPU")


def test_convolutions_are_never_tried_in_a_loop_of_xla_on_a_cpu():
    assert not is_practical(MODES["fused_xla"], work(convolutions=1e6), "cpu")
    assert is_practical(MODES["fused_xla"], work(convolutions=1e6), "gpu")
    assert is_practical(MODES["fused_xla"], SMALL, "cpu")
    assert is_practical(MODES["xla"], work(convolutions=1e6), "cpu")


def test_nowhere_in_the_grid_does_the_rule_choose_a_mode_that_is_slower_than_one_step_a_call():
    rows = [json.loads(line) for line in GRID.read_text().splitlines()]
    slower = {}
    for row in rows:
        counted = {name: row.get(name, 10**6) for name in vars(SMALL)}
        mode = choose_mode(StepWork(**counted), 1_000, "cpu")[0].name
        if row[mode] > 1.03 * row["plain"]:
            slower[row["network"], row["batch"]] = mode

    assert len(rows) == 26
    assert slower == {}
