"""Blocks of batches executed by a few calls: in a loop inside the graph, by XLA, or both."""

from __future__ import annotations

import time
from typing import Any, Protocol

import tensorflow as tf

from fitx.data.row_blocks import Block
from fitx.engine.epoch_logs import Logs
from fitx.engine.loops.chunk_size import ChunkSize
from fitx.engine.modes.execution_modes import Mode
from fitx.engine.step_graph import StepGraph


class Watcher(Protocol):
    """Who hears of the steps of one epoch or evaluation as they run."""

    def begin(self, step: int) -> None:
        """Hear that a chunk begins with the step of this number, counted from 0."""

    def end(self, step: int, logs: Logs) -> bool:
        """Hear that a chunk ended with the step of this number; return whether to go on."""

    def limit(self) -> int:
        """Return how many steps may run before it must hear of them, at least 1."""


class BlockFunction:
    """What `fit` calls once an epoch, or `evaluate` once, with an iterator over blocks.

    It runs the steps of the epoch in chunks. A chunk is one call of a compiled graph; it ends
    where the block does, where the watcher has something to do, and after about a quarter of a
    second. How long chunks are has no influence on any value.

    Args:
        batch: The step as a graph.
        mode: One that takes blocks.
        device: Where the graphs run, as `tf.device` names it.
        is_sized: Whether full batches are run by a graph for their size.
        returns_values: Whether a callback reads values; it gets the means so far.

    Attributes:
        steps: How many one call runs.
        passed: How many of the next call's steps ran before, and are passed over.
    """

    def __init__(
        self, batch: StepGraph, mode: Mode, device: str, *, is_sized: bool, returns_values: bool
    ) -> None:
        self.log = batch.log
        self.steps = self.passed = 0
        self.watcher: Watcher | None = None
        self._device, self._returns_values = device, returns_values
        self._batch, self._mode, self._is_sized = batch, mode, is_sized
        self._pace = ChunkSize()
        self._stream = _Stream()
        self._programs: dict[Any, Program] = {}
        self._ready: tuple[Block, Program] | None = None

    def __call__(self, iterator: Any) -> Logs:
        """Run `steps` steps, telling the watcher of each chunk."""
        watcher, done, self.passed = self.watcher, self.passed, 0
        if watcher is None:
            raise RuntimeError("a block function needs a watcher, which `Step.fit` gives it.")
        while done < self.steps:
            with tf.device(self._device):
                block, at = self._stream.at(iterator)
            most = min(self.steps - done, watcher.limit())
            watcher.begin(done)
            done += self._chunk(block, at, most)
            if not watcher.end(done - 1, self._logs()):
                break
        return Logs(self.log, {})

    def _chunk(self, block: Block, at: int, most: int) -> int:
        """Run the next batches of a block, at most so many; return how many ran."""
        self.log.running = True
        program = self._compiled(block)
        full = int(block.full)
        if at >= full:
            program.short(block.columns, tf.constant(at), block.short)
            return self._stream.passed(1)
        count = self._pace.take(min(most, full - at)) if self._mode.fused else 1
        began = time.perf_counter()
        last = program.full(block.columns, tf.constant(at), tf.constant(count))
        if self._mode.fused:
            # Reading the number waits for the device, which one step a call need not do.
            int(last)
            self._pace.took(count, time.perf_counter() - began)
        return self._stream.passed(count)

    def _compiled(self, block: Block) -> Program:
        if self._ready is None or self._ready[0] is not block:
            # Finding the graph that fits costs as much as a small step, so it is found once.
            size = block.columns[0].shape[1]
            short = self._batch.graph(_spec(block, None if block.short is not None else size))
            if short not in self._programs:
                full = self._batch.graph(_spec(block, size)) if self._is_sized else short
                self._programs[short] = Program(full, self._mode, short)
            self._ready = block, self._programs[short]
        return self._ready[1]

    def _logs(self) -> Logs:
        return Logs(self.log, self.log.result() if self._returns_values else {})


class _Stream:
    """The block under way, kept from one call to the next, and the batch in it that is next."""

    def __init__(self) -> None:
        self._iterator: Any = None
        self._block: Any = None
        self._at = self._end = 0

    def at(self, iterator: Any) -> tuple[Block, int]:
        """Return a block and the number of its next batch; takes a new one where that is due."""
        if iterator is not self._iterator or self._at >= self._end:
            block = next(iterator)
            # Copied to the device once, and not at every call.
            columns = tuple(tf.identity(column) for column in block.columns)
            self._iterator, self._block = iterator, block._replace(columns=columns)
            short = 0 if block.short is None else int(block.short > 0)
            self._at, self._end = int(block.first), int(block.full) + short
        return self._block, self._at

    def passed(self, count: int) -> int:
        self._at += count
        return count


def _spec(block: Block, size: int | None) -> Any:
    """Return the spec of one batch of a size; None where there are short ones too."""
    specs = tuple(tf.TensorSpec((size, *c.shape[2:]), c.dtype) for c in block.columns)
    return specs if len(specs) > 1 else specs[0]


class Program:
    """One batch's graph inside the graphs that take a block.

    Args:
        graph: The graph of one batch of full size.
        mode: How it is to be executed.
        short_graph: The graph of a short batch; None for the same.

    Attributes:
        full: Runs `count` batches from `at` on and returns the number after them.
        short: Runs the short batch at `at`, which has `rows` rows. It is never compiled by XLA,
            which would take as long for it as for all the others.
    """

    def __init__(self, graph: Any, mode: Mode, short_graph: Any = None) -> None:
        def one(columns: Any, at: Any, count: Any) -> Any:
            graph(_batch(columns, at))
            return at + 1

        def many(columns: Any, at: Any, count: Any) -> Any:
            end = at + count

            def body(index: Any) -> tuple[Any]:
                graph(_batch(columns, index))
                return (index + 1,)

            # One iteration at a time: a step reads what the step before it wrote.
            return tf.while_loop(lambda i: i < end, body, (at,), parallel_iterations=1)[0]

        def short(columns: Any, at: Any, rows: Any) -> None:
            (short_graph or graph)(_batch(columns, at, rows))

        run = many if mode.fused else one
        self.full = tf.function(run, autograph=False, jit_compile=mode.xla or None)
        self.short = tf.function(short, autograph=False)


def _batch(columns: tuple[Any, ...], at: Any, rows: Any = None) -> Any:
    taken = tuple(tf.gather(column, at)[:rows] for column in columns)
    return taken if len(taken) > 1 else taken[0]
