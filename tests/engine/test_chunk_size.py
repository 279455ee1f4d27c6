"""Chunks grow to the length they aim at, and shrink when one takes too long."""

import pytest

from fitx.engine.loops.block_loop import CHUNK_GROWTH, CHUNK_SECONDS, ChunkSize


def chunks(size, step_seconds, count, available=10**9):
    """Return the lengths of the next chunks, where every step takes the same time."""
    taken = []
    for _ in range(count):
        taken.append(size.choose(available))
        size.record(taken[-1], taken[-1] * step_seconds)
    return taken


def test_the_first_chunk_is_one_step_and_its_time_that_of_compiling():
    size = ChunkSize()
    assert size.choose(1000) == 1
    size.record(1, 60.0)
    assert size.choose(1000) == 1
    size.record(1, CHUNK_SECONDS / 4)
    assert size.choose(1000) == 4


def test_chunks_grow_step_by_step_until_they_take_as_long_as_they_may():
    assert chunks(ChunkSize(), CHUNK_SECONDS / 10_000, 8) == [
        1,
        1,
        16,
        256,
        4096,
        10_000,
        10_000,
        10_000,
    ]
    assert CHUNK_GROWTH == 16


def test_a_step_that_takes_longer_than_a_chunk_may_comes_alone():
    assert chunks(ChunkSize(), 3 * CHUNK_SECONDS, 4) == [1, 1, 1, 1]


def test_chunks_shrink_as_soon_as_one_took_too_long():
    size = ChunkSize()
    chunks(size, CHUNK_SECONDS / 10_000, 6)
    size.record(10_000, 4 * CHUNK_SECONDS)
    assert size.choose(10**9) == 2500
    # One that was cut short too: its steps are slower than those before.
    size.record(100, 2 * CHUNK_SECONDS)
    assert size.choose(10**9) == 50


def test_a_chunk_that_something_cut_short_says_nothing_of_the_next():
    size = ChunkSize()
    chunks(size, CHUNK_SECONDS / 10_000, 6)
    assert chunks(size, CHUNK_SECONDS / 1000, 3, available=7) == [7, 7, 7]
    assert size.choose(10**9) == 10_000


@pytest.mark.parametrize("step_seconds", [0.0, 1e-7, CHUNK_SECONDS, 10.0])
def test_no_chunk_is_longer_than_what_is_there_nor_empty(step_seconds):
    for available in (1, 2, 100):
        assert set(chunks(ChunkSize(), step_seconds, 9, available)) <= set(range(1, available + 1))
