"""Modes are measured on real batches, and the state of the step is restored."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.data.row_blocks import Block
from fitx.engine.modes import measure as measuring
from fitx.engine.modes.execution_modes import MODES
from fitx.engine.modes.measure import measure_modes
from fitx.steps.supervised import Supervised

BLOCK = Block((tf.ones((4, 8, 3)), tf.ones((4, 8, 1))), 0, 4, None)
SPEC = (tf.TensorSpec((8, 3)), tf.TensorSpec((8, 1)))
ALL = list(MODES.values())


@pytest.fixture(scope="module")
def step():
    layers = [keras.Input((3,)), keras.layers.Dropout(0.5, seed=1), keras.layers.Dense(1)]
    step = Supervised(keras.Sequential(layers))
    step.compile({"model": keras.optimizers.Adam()}, loss="mse", metrics=["mae"])
    return step


def tried(step, modes=ALL, steps=10**9, operations=1):
    graph = step.execution.step_graphs["train"].graph(SPEC)
    return measure_modes(graph, BLOCK, modes, steps=steps, operations=operations)


def state(step):
    variables = [*step.variables, *step.metrics_variables, *step.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable).tobytes() for variable in variables]


def test_every_mode_gets_a_time(step):
    found = tried(step)

    assert list(found) == ["plain", "xla", "fused", "fused_xla"]
    assert all(0 < seconds < 10 for seconds in found.values())


def test_weights_optimizer_metrics_and_all_randomness_are_as_they_were(step):
    tried(step, ALL[:1])
    before = state(step), random.getstate(), np.random.get_state()[1].tobytes()

    tried(step)

    assert (state(step), random.getstate(), np.random.get_state()[1].tobytes()) == before


def test_a_short_training_is_not_spent_on_trying(step):
    assert list(tried(step, steps=10)) == ["plain"]


def test_a_mode_that_would_take_longer_to_compile_than_the_budget_is_left_out(step):
    # Reckoned are 1 ms an operation, and 4 ms with XLA, of at most 20 s.
    assert list(tried(step, operations=10_000)) == ["plain", "fused"]


def test_a_mode_that_is_much_slower_is_not_timed_any_longer(step):
    calls = []

    class Slow:
        def full(self, columns, at, count):
            calls.append(int(count))
            end = tf.timestamp() + 0.01
            while tf.timestamp() < end:
                pass
            return at + count

    assert measuring._seconds(Slow(), BLOCK, MODES["fused"], best=0.0001) >= 0.01
    assert calls == [1, 1]


class Counting(Supervised):
    """Counts its steps in a table."""

    def __init__(self, model):
        super().__init__(model)
        self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)

    def train_step(self, data):
        self.table.insert("steps", self.table.lookup("steps") + 1)
        return super().train_step(data)


def test_tables_are_as_they_were():
    step = Counting(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))
    step.compile({"model": keras.optimizers.Adam()}, loss="mse")
    step.table.insert(["steps", "others"], [3, 4])

    tried(step, [MODES["plain"], MODES["fused"]])

    keys, values = step.table.export()
    assert dict(zip(keys.numpy(), values.numpy(), strict=True)) == {b"steps": 3, b"others": 4}
