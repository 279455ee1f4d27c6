"""Measures the time of a step in each mode, and restores the state of the step."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from fitx.data.row_blocks import Block
from fitx.engine.loops.block_loop import BlockProgram
from fitx.engine.modes.execution_modes import Mode
from fitx.engine.resources import tables

SHARE = 0.05
"""Largest share of the expected training time that measuring may take."""

LONGEST_SECONDS = 20.0
"""Longest time that measuring may take."""

ROUND_SECONDS = 0.3
"""Seconds of one timing of a mode, unless one step takes longer."""

SECONDS_PER_OPERATION = {False: 0.001, True: 0.004}
"""Seconds to compile an operation, without and with XLA: high estimates, to keep the budget."""


def measure_modes(
    graph: Any, block: Block, modes: Sequence[Mode], *, steps: int, operations: int
) -> dict[str, float]:
    """Return the seconds that one step takes in each mode that was tried.

    The time of the first mode gives that of the training, and with it the budget: 5 % of that
    time, and at most 20 s. A mode that does not fit into the budget is left out. The variables
    that the step changes, and the random state of Python and NumPy, are restored.

    Args:
        graph: The step as a graph of one batch.
        block: Real batches, at least one of full size.
        modes: The modes to measure, the safest first.
        steps: Steps of the whole training.
        operations: Operations in the graph, from which the time of compiling is estimated.
    """
    began = time.perf_counter()
    seconds: dict[str, float] = {}
    budget = LONGEST_SECONDS
    with state_restored(graph):
        for mode in modes:
            estimate = operations * SECONDS_PER_OPERATION[mode.xla]
            if seconds and time.perf_counter() - began + estimate > budget:
                continue
            seconds[mode.name] = _seconds(
                BlockProgram(graph, mode), block, mode, min(seconds.values(), default=None)
            )
            budget = min(LONGEST_SECONDS, SHARE * steps * next(iter(seconds.values())))
    return seconds


def _seconds(program: BlockProgram, block: Block, mode: Mode, best: float | None) -> float:
    """Return the seconds of one step, without the compilation."""
    full_batches = int(block.full)
    run = _chunks(program, block) if mode.fused else _steps(program, block)
    run(1)
    once = run(1)
    if best is not None and once > 4 * best + 0.001:
        return once
    count = max(1, min(full_batches if mode.fused else 1000, int(ROUND_SECONDS / once)))
    return min(run(count) / count for _ in range(3)) if count > 1 else min(once, run(1))


def _chunks(program: BlockProgram, block: Block) -> Callable[[int], float]:
    def run(count: int) -> float:
        began = time.perf_counter()
        int(program.full(block.batches, tf.constant(0), tf.constant(count)))
        return time.perf_counter() - began

    return run


def _steps(program: BlockProgram, block: Block) -> Callable[[int], float]:
    full_batches = int(block.full)

    def run(count: int) -> float:
        began = time.perf_counter()
        for index in range(count):
            at = program.full(block.batches, tf.constant(index % full_batches), tf.constant(1))
        int(at)
        return time.perf_counter() - began

    return run


@contextmanager
def state_restored(graph: Any) -> Iterator[None]:
    """Restore, at the end, all state that a graph may change, and the random state of Python."""
    variables = list(graph.graph.variables)
    values = [tf.identity(variable) for variable in variables]
    saved_tables = [(table, table.to_array()) for table in tables.changed_tables(graph)]
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        for table, array in saved_tables:
            table.assign(array)
        random.setstate(states[0])
        np.random.set_state(states[1])
