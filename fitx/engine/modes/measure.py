"""Which mode is the fastest for one step, found by trying them on copies of the step's state."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.data.row_blocks import Block
from fitx.engine.loops.block_loop import Program
from fitx.engine.modes.execution_modes import Mode
from fitx.engine.resources import tables

SHARE = 0.05
"""Of the expected training time that trying may take."""

LONGEST_SECONDS = 20.0

ROUND_SECONDS = 0.3
"""That a mode is timed for at once, unless one step takes longer."""

SECONDS_PER_OPERATION = {False: 0.001, True: 0.004}
"""To compile, without and with XLA: reckoned high, so that the budget is kept."""


def measure_modes(
    graph: Any, block: Block, modes: Sequence[Mode], *, steps: int, operations: int
) -> dict[str, float]:
    """Return the seconds that one step takes in each mode that was tried.

    The first mode tells how long the training will take, and with that how long trying may:
    at most 5 % of it, and at most 20 s. A mode that the budget has no room for is left out. The
    variables that the step changes, and Python's and NumPy's random numbers, are put back.

    Args:
        graph: The step as a graph of one batch.
        block: Real batches, at least one of full size.
        modes: What to try, the safest first.
        steps: Of the whole training.
        operations: In the graph; compiling takes the longer the more there are.
    """
    began = time.perf_counter()
    found: dict[str, float] = {}
    budget = LONGEST_SECONDS
    with state_restored(graph):
        for mode in modes:
            reckoned = operations * SECONDS_PER_OPERATION[mode.xla]
            if found and time.perf_counter() - began + reckoned > budget:
                continue
            found[mode.name] = _seconds(
                Program(graph, mode), block, mode, min(found.values(), default=None)
            )
            budget = min(LONGEST_SECONDS, SHARE * steps * next(iter(found.values())))
    return found


def _seconds(program: Program, block: Block, mode: Mode, best: float | None) -> float:
    """Return the seconds of one step, the compilation not counted."""
    full = int(block.full)
    run = _chunks(program, block) if mode.fused else _steps(program, block)
    run(1)
    once = run(1)
    if best is not None and once > 4 * best + 0.001:
        return once
    count = max(1, min(full if mode.fused else 1000, int(ROUND_SECONDS / once)))
    return min(run(count) / count for _ in range(3)) if count > 1 else min(once, run(1))


def _chunks(program: Program, block: Block) -> Callable[[int], float]:
    def run(count: int) -> float:
        began = time.perf_counter()
        int(program.full(block.columns, tf.constant(0), tf.constant(count)))
        return time.perf_counter() - began

    return run


def _steps(program: Program, block: Block) -> Callable[[int], float]:
    full = int(block.full)

    def run(count: int) -> float:
        began = time.perf_counter()
        for index in range(count):
            at = program.full(block.columns, tf.constant(index % full), tf.constant(1))
        int(at)
        return time.perf_counter() - began

    return run


@contextmanager
def state_restored(graph: Any) -> Iterator[None]:
    """Put back, at the end, all that a graph may change, and Python's random numbers."""
    variables = list(graph.graph.variables)
    values = [tf.identity(variable) for variable in variables]
    kept = [(table, table.to_array()) for table in tables.changed_tables(graph)]
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        for table, array in kept:
            table.assign(array)
        random.setstate(states[0])
        np.random.set_state(states[1])
