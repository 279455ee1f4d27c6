"""Blocks hold exactly the batches that are fed one by one, in their order."""

import itertools
from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from fitx.data import row_blocks as module
from fitx.data.feed import evaluation_batches, training_batches
from fitx.data.prepare import prepare
from fitx.data.row_blocks import evaluation_blocks, training_blocks
from fitx.data.splits import Split
from fitx.experiment.schema import DataOptions

X = np.stack([np.arange(23), np.arange(23) * 2], axis=1).astype(np.float32)
Y = np.arange(23)
ROW_BYTES = 16
"""Of X and Y together."""


def data(split=None, **options):
    options = {"batch_size": 4} | options
    return prepare({"train": split or Split(X, Y)}, DataOptions(**options), seed=3)


def cut(blocks):
    """Yield the batches that the engine runs of a stream of blocks, with their blocks' numbers."""
    for number, block in enumerate(blocks):
        full = int(block.full)
        for at in range(int(block.first), full):
            yield number, flat(block.batches, lambda array, at=at: array[at])
        if block.has_short and int(block.first) <= full:
            yield number, tuple(short_batch(block.batches, block.short, full))


def short_batch(batches, rows, at):
    streams = [(batches[k], rows[k]) for k in sorted(rows)] if isinstance(rows, dict) else []
    for batch, count in streams or [(batches, rows)]:
        yield from flat(batch, lambda array, count=count: array[at][: int(count)])


def flat(batch, function=lambda array: array):
    return tuple(function(array).numpy() for array in tf.nest.flatten(batch))


def batches_of(blocks, count):
    return [batch for _, batch in itertools.islice(cut(blocks), count)]


def single(batches, count):
    return [flat(batch) for batch in itertools.islice(batches, count)]


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for column, expected in zip(one, other, strict=True):
            assert column.dtype == expected.dtype
            np.testing.assert_array_equal(column, expected)
    return True


@pytest.fixture(params=[None, 1, 2, 5], ids=lambda most: f"most_{most}_batches")
def most(request, monkeypatch):
    """Limit the batches of 4 rows that one block holds; a pass has six, the last a short one."""
    if request.param:
        monkeypatch.setattr(module, "MOST_BYTES", request.param * 4 * ROW_BYTES)
    return request.param


@cache
def fed(count, **options):
    return single(training_batches(data(**options)), count)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop", [True, False])
def test_blocks_hold_the_batches_that_are_fed_one_by_one(most, shuffle, drop):
    options = {"shuffle": shuffle, "drop_remainder": drop}
    count = 3 * data(**options).steps("train")

    assert same(batches_of(training_blocks(data(**options)), count), fed(count, **options))


@pytest.mark.parametrize(("size", "drop"), [(4, False), (4, True), (1, False)])
def test_any_position_can_be_started_from(most, size, drop):
    options = {"batch_size": size, "drop_remainder": drop}
    ours = data(**options)
    steps = ours.steps("train")
    for epoch, step in [(0, steps - 1), (2, steps // 2), (1, 2 * steps)]:
        blocks = training_blocks(ours, first_epoch=epoch, first_step=step)
        theirs = fed(4 * steps + 2, **options)[epoch * steps + step :][: steps + 2]
        assert same(batches_of(blocks, len(theirs)), theirs)


@pytest.mark.parametrize("steps", [None, 1, 3, 5, 9])
def test_an_evaluation_goes_over_the_same_batches_again_and_again(most, steps):
    theirs = single(evaluation_batches(data(), "train", steps), 15)
    assert same(batches_of(evaluation_blocks(data(), "train", steps), 15), theirs)


def test_blocks_of_a_pass_have_one_shape_and_no_more_than_the_bytes_allow(most):
    sizes = {None: [6], 1: [1] * 6, 2: [2, 2, 2], 5: [3, 3]}[most]
    numbers = [number for number, _ in itertools.islice(cut(training_blocks(data())), 6)]
    shapes = {b.batches[0].shape for b in itertools.islice(training_blocks(data()), len(sizes))}

    assert [numbers.count(number) for number in range(len(sizes))] == sizes
    assert shapes == {(sizes[0], 4, 2)}


def test_only_a_pass_that_ends_with_a_short_batch_has_sizes_that_vary():
    def short(**options):
        return next(iter(training_blocks(data(**options)))).short

    assert int(short()) == 3
    assert short(drop_remainder=True) is None
    assert short(batch_size=23) is None


def test_a_batch_larger_than_a_block_may_be_comes_alone(monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    numbers = [number for number, _ in itertools.islice(cut(training_blocks(data())), 12)]

    assert numbers == list(range(12))


def test_a_batch_may_be_larger_than_the_data():
    ours = data(batch_size=64)

    assert same(batches_of(training_blocks(ours), 2), single(training_batches(ours), 2))
    assert same(
        batches_of(evaluation_blocks(ours, "train"), 2),
        single(evaluation_batches(ours, "train"), 2),
    )


@pytest.mark.parametrize(
    "split",
    [
        Split(X),
        Split(X, Y, Y / 10),
        Split((X > 9).astype(np.uint8), Y.astype(np.int16)),
        Split({"b": X, "a": (Y, X[:, :1])}, [Y, {"c": X}]),
        Split((X, Y)),
        Split((X, Y, X, Y), is_bare=True),
    ],
)
def test_blocks_hold_what_the_split_holds(split):
    ours = data(split)

    assert same(batches_of(training_blocks(ours), 7), single(training_batches(ours), 7))
    assert next(iter(training_blocks(ours))).batch_spec == training_batches(ours).element_spec


def test_a_small_evaluation_is_made_once_and_streams_of_it_share_it(monkeypatch):
    blocks = evaluation_blocks(data(), "train")
    one, other = (next(iter(blocks)) for _ in range(2))

    assert one is other
    monkeypatch.setattr(module, "MOST_BYTES", 2 * 4 * ROW_BYTES)
    assert next(iter(evaluation_blocks(data(), "train"))) is not one


def test_a_batch_size_far_above_the_rows_takes_no_more_room_than_the_rows():
    made = data(batch_size=10**6)
    for blocks in (training_blocks(made), evaluation_blocks(made, "train")):
        block = next(iter(blocks))
        assert [column.shape[:2] for column in block.batches] == [(1, 23)] * 2
    assert same(batches_of(training_blocks(made), 3), single(training_batches(made), 3))
