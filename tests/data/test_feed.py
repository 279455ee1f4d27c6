import gc
import itertools
import resource
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fitx.data.feed import evaluation_batches, training_batches
from fitx.data.order import permutation
from fitx.data.prepare import Data, prepare
from fitx.data.row_blocks import training_blocks
from fitx.data.splits import Split
from fitx.experiment.schema import DataOptions

X = np.stack([np.arange(10), np.arange(10) * 2], axis=1).astype(np.float32)
Y = np.arange(10)


def data(split=None, **options):
    options = {"batch_size": 4} | options
    return prepare({"train": split or Split(X, Y)}, DataOptions(**options), seed=3)


def rows(batches, count):
    return [batch[1].numpy().tolist() for batch in itertools.islice(batches, count)]


def expected(epochs, size=4, count=10, seed=3):
    orders = [permutation(seed, epoch, count).tolist() for epoch in epochs]
    return [order[start : start + size] for order in orders for start in range(0, count, size)]


def test_order_is_that_of_the_seed_and_the_epoch():
    assert rows(training_batches(data()), 12) == expected(range(4))


def test_x_and_y_stay_together():
    for x, y in itertools.islice(training_batches(data()), 6):
        assert (x.numpy() == X[y.numpy()]).all()


def test_without_shuffling_rows_come_as_the_dataset_gives_them():
    natural = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert rows(training_batches(data(shuffle=False)), 6) == natural * 2


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop", [True, False])
def test_any_position_can_be_started_from(shuffle, drop):
    ours = data(shuffle=shuffle, drop_remainder=drop, batch_size=3)
    steps = ours.steps("train")
    full = rows(training_batches(ours), 5 * steps)
    for epoch, step in [(0, 0), (0, 2), (2, 1), (2, steps - 1), (2, steps), (3, 0)]:
        part = rows(training_batches(ours, first_epoch=epoch, first_step=step), steps)
        assert part == full[epoch * steps + step :][:steps]


def test_short_batches_are_left_out_if_asked_and_sizes_are_static():
    batches = training_batches(data(drop_remainder=True))
    assert rows(batches, 4) == [e for e in expected(range(2)) if len(e) == 4]
    assert batches.element_spec[0].shape == (4, 2)


def test_batch_sizes_are_static_where_no_batch_is_short():
    assert training_batches(data(batch_size=5)).element_spec[0].shape == (5, 2)
    assert training_batches(data()).element_spec[0].shape.as_list() == [None, 2]
    assert evaluation_batches(data(), "train", steps=2).element_spec[0].shape == (4, 2)


def test_a_batch_may_be_larger_than_the_data():
    assert rows(training_batches(data(batch_size=64)), 2) == expected(range(2), size=64)
    assert rows(evaluation_batches(data(batch_size=64), "train"), 1) == [list(range(10))]


def test_batches_hold_what_the_split_holds():
    bare = next(iter(training_batches(data(Split(X)))))
    assert isinstance(bare, tf.Tensor)
    assert bare.shape == (4, 2)
    x, y, weight = next(iter(training_batches(data(Split(X, Y, Y / 10)))))
    assert (x.dtype, y.dtype, weight.dtype) == (tf.float32, tf.int64, tf.float32)
    np.testing.assert_allclose(weight, y.numpy() / 10, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_, np.int16, np.uint32, np.float16])
def test_every_kind_of_number_is_fed(dtype):
    x, _ = next(iter(training_batches(data(Split((X > 3).astype(dtype), Y), shuffle=False))))
    assert x.numpy().dtype == dtype
    assert (x.numpy() == (X[:4] > 3)).all()


def test_batches_outlive_the_arrays_they_share():
    def batches():
        return training_batches(data(Split(X.copy(), Y.copy())))

    stream = iter(batches())
    gc.collect()
    assert [next(stream)[1].numpy().tolist() for _ in range(6)] == expected(range(2))


def test_arrays_are_shared_and_not_copied():
    ours = data(shuffle=False)
    stream = iter(training_batches(ours, first_epoch=0))
    next(stream)
    ours.splits["train"].x[:] = 7
    seen = [next(stream)[0].numpy() for _ in range(40)]
    assert (seen[-1] == 7).all()


def test_arrays_that_lie_badly_are_fed_too():
    memory = np.zeros(200, np.uint8)
    start = -memory.ctypes.data % 64 + 4
    x = memory[start : start + 80].view(np.float32).reshape(10, 2)
    x[:] = X
    for odd in (x, np.asfortranarray(X), X[::-1], np.broadcast_to(np.float32(2), (10, 2))):
        batch = next(iter(training_batches(Data({"train": Split(odd)}, 4, False, 0, False))))
        assert (batch.numpy() == odd[:4]).all()


def test_evaluation_goes_over_the_split_again_and_again():
    natural = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert rows(evaluation_batches(data(), "train"), 6) == natural * 2
    assert rows(evaluation_batches(data(), "train", steps=2), 4) == natural[:2] * 2
    assert rows(evaluation_batches(data(), "train", steps=9), 6) == natural * 2


def test_beginning_to_feed_makes_no_copy_of_the_data():
    ours = data(Split(np.ones((25_000, 1000), np.float32), np.zeros(25_000, np.int32)))
    size = ours.splits["train"].x.nbytes
    feeds = (
        training_batches,
        training_blocks,
        lambda data: evaluation_batches(data, "train"),
    )
    for feed in feeds:
        before = resident_bytes()
        iterator = iter(feed(ours))
        next(iterator)
        assert resident_bytes() - before < size / 2
        del iterator


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()
