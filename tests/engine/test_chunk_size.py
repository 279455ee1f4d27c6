"""Chunks become as long as they may, and no longer."""

import pytest

from fitx.engine.loops.chunk_size import GROWTH, SECONDS, ChunkSize


def chunks(pace, step_seconds, count, available=10**9):
    """Return the lengths of the next chunks, where every step takes the same time."""
    taken = []
    for _ in range(count):
        taken.append(pace.take(available))
        pace.took(taken[-1], taken[-1] * step_seconds)
    return taken


def test_the_first_chunk_is_one_step_and_its_time_that_of_compiling():
    pace = ChunkSize()
    assert pace.take(1000) == 1
    pace.took(1, 60.0)
    assert pace.take(1000) == 1
    pace.took(1, SECONDS / 4)
    assert pace.take(1000) == 4


def test_chunks_grow_step_by_step_until_they_take_as_long_as_they_may():
    assert chunks(ChunkSize(), SECONDS / 10_000, 8) == [1, 1, 16, 256, 4096, 10_000, 10_000, 10_000]
    assert GROWTH == 16


def test_a_step_that_takes_longer_than_a_chunk_may_comes_alone():
    assert chunks(ChunkSize(), 3 * SECONDS, 4) == [1, 1, 1, 1]


def test_chunks_shrink_as_soon_as_one_took_too_long():
    pace = ChunkSize()
    chunks(pace, SECONDS / 10_000, 6)
    pace.took(10_000, 4 * SECONDS)
    assert pace.take(10**9) == 2500
    # One that was cut short too: its steps are slower than those before.
    pace.took(100, 2 * SECONDS)
    assert pace.take(10**9) == 50


def test_a_chunk_that_something_cut_short_says_nothing_of_the_next():
    pace = ChunkSize()
    chunks(pace, SECONDS / 10_000, 6)
    assert chunks(pace, SECONDS / 1000, 3, available=7) == [7, 7, 7]
    assert pace.take(10**9) == 10_000


@pytest.mark.parametrize("step_seconds", [0.0, 1e-7, SECONDS, 10.0])
def test_no_chunk_is_longer_than_what_is_there_nor_empty(step_seconds):
    for available in (1, 2, 100):
        assert set(chunks(ChunkSize(), step_seconds, 9, available)) <= set(range(1, available + 1))
