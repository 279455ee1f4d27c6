"""Runs blocks of batches by few calls: in a loop inside the graph, by XLA, or both."""

from __future__ import annotations

import time
from typing import Any, Protocol

import tensorflow as tf

from fitx.data.row_blocks import Block
from fitx.engine.epoch_logs import Logs
from fitx.engine.modes.execution_modes import Mode
from fitx.engine.step_graph import StepGraph

CHUNK_SECONDS = 0.25
"""Seconds that a chunk aims at: half of the longest that a signal or a display may have to wait."""

CHUNK_GROWTH = 16
"""Largest ratio of a chunk's length to that of the one before, which is too short to time well."""


class ChunkListener(Protocol):
    """Follows the chunks of steps of one epoch or evaluation."""

    def chunk_begins(self, step: int) -> None:
        """Called before a chunk, with the number of its first step, counted from 0."""

    def chunk_ends(self, step: int, logs: Logs) -> bool:
        """Called after a chunk, with the number of its last step; returns whether to go on."""

    def steps_until_due(self) -> int:
        """Return how many steps the next chunk may run at most, at least 1."""


class ChunkSize:
    """Chooses the length of a chunk from the time that earlier chunks took."""

    def __init__(self) -> None:
        self._next = 1
        self._is_warm = False

    def choose(self, available: int) -> int:
        """Return how many of the available steps the next chunk runs, at least 1."""
        return min(available, self._next)

    def record(self, count: int, seconds: float) -> None:
        """Record that a chunk of `count` steps took so many seconds."""
        if not self._is_warm:
            # The first call includes the compilation.
            self._is_warm = True
        elif count == self._next or seconds > CHUNK_SECONDS:
            fitting = int(count * CHUNK_SECONDS / max(seconds, 1e-9))
            self._next = max(1, min(fitting, count * CHUNK_GROWTH))


class BlockFunction:
    """Runs the steps of an epoch or an evaluation from an iterator over blocks.

    The steps run in chunks. A chunk is one call of a compiled graph; it ends with the block, with
    the steps that the listener allows, or after about a quarter of a second. The length of chunks
    has no influence on any value.

    Args:
        step_graph: The step.
        mode: A mode that takes blocks.
        device: Where the graphs run, as `tf.device` names it.
        is_sized: Whether full batches are run by a graph for their number of rows.
        returns_values: Whether a callback reads values; it gets the means so far.
    """

    def __init__(
        self,
        step_graph: StepGraph,
        mode: Mode,
        device: str,
        *,
        is_sized: bool,
        returns_values: bool,
    ) -> None:
        self.log = step_graph.log
        self._device, self._returns_values = device, returns_values
        self._step_graph, self._mode, self._is_sized = step_graph, mode, is_sized
        self._chunk_size = ChunkSize()
        self._cursor = _BlockCursor()
        self._programs: dict[Any, BlockProgram] = {}
        self._current: tuple[Block, BlockProgram] | None = None

    def run(self, iterator: Any, steps: int, listener: ChunkListener, skip_steps: int = 0) -> Logs:
        """Run the steps of an epoch or an evaluation.

        Args:
            iterator: Over blocks; an earlier call with it ended at the batch that is next.
            steps: Number of steps.
            listener: Is notified of each chunk.
            skip_steps: First steps that are counted and not run.
        """
        steps_done = skip_steps
        while steps_done < steps:
            with tf.device(self._device):
                block, batch = self._cursor.position(iterator)
            most = min(steps - steps_done, listener.steps_until_due())
            listener.chunk_begins(steps_done)
            steps_done += self._run_chunk(block, batch, most)
            if not listener.chunk_ends(steps_done - 1, self._logs()):
                break
        return Logs(self.log, {})

    def _run_chunk(self, block: Block, batch: int, most: int) -> int:
        """Run batches of a block from number `batch` on, at most `most`; return how many ran."""
        self.log.running = True
        program = self._program(block)
        full = int(block.full)
        if batch >= full:
            program.short(block.batches, tf.constant(batch), block.short)
            return self._cursor.advance(1)
        is_fused = self._mode.fused
        count = self._chunk_size.choose(min(most, full - batch)) if is_fused else 1
        began = time.perf_counter()
        last = program.full(block.batches, tf.constant(batch), tf.constant(count))
        if is_fused:
            # Reading the number waits for the device, which is not needed for one step a call.
            int(last)
            self._chunk_size.record(count, time.perf_counter() - began)
        return self._cursor.advance(count)

    def _program(self, block: Block) -> BlockProgram:
        if self._current is None or self._current[0] is not block:
            # Looking up the graph takes as long as a small step, so it is done once a block.
            short = self._step_graph.graph(block.batch_spec)
            if short not in self._programs:
                full = short
                if self._is_sized and block.short is not None:
                    full = self._step_graph.graph_for_rows(short, block.full_rows)
                self._programs[short] = BlockProgram(full, self._mode, short)
            self._current = block, self._programs[short]
        return self._current[1]

    def _logs(self) -> Logs:
        return Logs(self.log, self.log.result() if self._returns_values else {})


class ChunkedEpochs:
    """Runs all steps of an epoch in one call of Keras."""

    def __init__(
        self, function: BlockFunction, steps: int, listener: ChunkListener, skip_steps: int
    ) -> None:
        self._function, self._steps, self._listener = function, steps, listener
        self._skip_steps = skip_steps

    def __call__(self, iterator: Any) -> Logs:
        """Run the steps of an epoch, in the first one without those to skip."""
        skip_steps, self._skip_steps = self._skip_steps, 0
        return self._function.run(iterator, self._steps, self._listener, skip_steps)


class _BlockCursor:
    """The current block, which is kept between calls, and the number of its next batch."""

    def __init__(self) -> None:
        self._iterator: Any = None
        self._block: Any = None
        self._next = self._end = 0

    def position(self, iterator: Any) -> tuple[Block, int]:
        """Return a block with batches left, the next of the iterator if needed, and the number."""
        if iterator is not self._iterator or self._next >= self._end:
            block = next(iterator)
            # Copied to the device once instead of at every call.
            batches = tf.nest.map_structure(tf.identity, block.batches)
            self._iterator, self._block = iterator, block._replace(batches=batches)
            self._next, self._end = int(block.first), int(block.full) + block.has_short
        return self._block, self._next

    def advance(self, count: int) -> int:
        """Move on by a number of batches, and return it."""
        self._next += count
        return count


class BlockProgram:
    """Graphs that run batches of a block by the graph of one batch.

    Args:
        graph: The graph of one batch of full size.
        mode: How it is executed.
        short_graph: The graph of a short batch; None for the same.

    Attributes:
        full: Runs `count` batches from number `batch` on and returns the number after them.
        short: Runs the short batch of number `batch`, which has `rows` rows, or so many of each
            stream. It is never compiled by XLA, which would take as long for it as for all the
            others.
    """

    def __init__(self, graph: Any, mode: Mode, short_graph: Any = None) -> None:
        def one(batches: Any, batch: Any, count: Any) -> Any:
            graph(batch_at(batches, batch))
            return batch + 1

        def many(batches: Any, batch: Any, count: Any) -> Any:
            end = batch + count

            def body(index: Any) -> tuple[Any]:
                graph(batch_at(batches, index))
                return (index + 1,)

            # One iteration at a time: a step reads what the step before it assigned.
            return tf.while_loop(lambda i: i < end, body, (batch,), parallel_iterations=1)[0]

        def short(batches: Any, batch: Any, rows: Any) -> None:
            (short_graph or graph)(batch_at(batches, batch, rows))

        run = many if mode.fused else one
        self.full = tf.function(run, autograph=False, jit_compile=mode.xla or None)
        self.short = tf.function(short, autograph=False)


def batch_at(batches: Any, number: Any, rows: Any = None) -> Any:
    """Return the batch of a number, and of a short one its rows, of each stream."""
    if isinstance(rows, dict):
        return {name: batch_at(batches[name], number, count) for name, count in rows.items()}
    return tf.nest.map_structure(lambda array: tf.gather(array, number)[:rows], batches)
