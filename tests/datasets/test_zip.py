"""Datasets side by side: the rows that meet in a batch, from any position, in every feed."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from fitx.data.feed import evaluation_batches, training_batches
from fitx.data.order import permutation
from fitx.data.prepare import prepare
from fitx.data.row_blocks import evaluation_blocks, training_blocks
from fitx.data.splits import Split
from fitx.datasets.zip import zip as side_by_side
from fitx.engine.loops.block_loop import batch_at
from fitx.experiment.check import read
from fitx.experiment.problems import ConfigError
from fitx.experiment.schema import DataOptions


def stream(rows, first=0, split="train", **options):
    x = np.arange(first, first + rows)
    splits = {"train": Split(x)} | ({"test": Split(x[:5], x[:5])} if split == "test" else {})
    return prepare(splits, DataOptions(**options), seed=3)


def zipped(rows=10, other_rows=7, size=4, other_size=4, epoch=None, **options):
    streams = {
        "labelled": stream(rows, batch_size=size, **options),
        "extra": stream(other_rows, 100, batch_size=other_size),
    }
    return side_by_side(seed=3, streams=streams, epoch=epoch)


def numbers(batches, count):
    taken = itertools.islice(batches, count)
    return [{name: rows.numpy().tolist() for name, rows in batch.items()} for batch in taken]


def of_blocks(blocks):
    """Yield the batches that the engine runs of blocks."""
    for block in blocks:
        for at in range(int(block.first), int(block.full)):
            yield batch_at(block.batches, at)
        if block.has_short:
            yield batch_at(block.batches, int(block.full), block.short)


def test_the_first_stream_has_the_order_that_it_has_alone():
    alone = [
        x.numpy().tolist() for x in itertools.islice(training_batches(stream(10, batch_size=4)), 6)
    ]
    assert [batch["labelled"] for batch in numbers(training_batches(zipped()), 6)] == alone


def test_another_stream_goes_on_pass_after_pass_without_regard_to_epochs():
    data = zipped()
    seed = data.others["extra"].seed
    order = np.concatenate([100 + permutation(seed, p, 7) for p in range(5)]).tolist()
    seen = [row for batch in numbers(training_batches(data), 9) for row in batch["extra"]]

    # Of three batches, the last has two rows in both streams.
    assert seen == order[:30]
    assert seed != data.seed


def test_of_a_short_batch_other_streams_have_their_part():
    sizes = [
        (len(batch["labelled"]), len(batch["extra"]))
        for batch in numbers(training_batches(zipped(other_size=6)), 3)
    ]
    assert sizes == [(4, 6), (4, 6), (2, 3)]
    spec = training_batches(zipped(drop_remainder=True, other_size=6)).element_spec
    assert {name: part.shape[0] for name, part in spec.items()} == {"extra": 6, "labelled": 4}


def test_any_stream_may_set_the_length_of_an_epoch():
    data = zipped(epoch="extra")
    assert data.steps("train") == 2
    rows = [row - 100 for batch in numbers(training_batches(data), 2) for row in batch["extra"]]
    assert sorted(rows) == list(range(7))


@pytest.mark.parametrize("other_rows", [2, 7, 50])
@pytest.mark.parametrize("size", [3, 4, 5, 64])
def test_any_position_can_be_started_from_in_batches_and_in_blocks(other_rows, size):
    data = zipped(other_rows=other_rows, size=size, other_size=3)
    steps = data.steps("train")
    full = numbers(training_batches(data), 5 * steps)
    for epoch, step in [(0, 0), (1, steps - 1), (2, steps // 2)]:
        expected = full[epoch * steps + step :][: steps + 1]
        position = {"first_epoch": epoch, "first_step": step}
        assert numbers(training_batches(data, **position), len(expected)) == expected
        assert numbers(of_blocks(training_blocks(data, **position)), len(expected)) == expected
    assert next(iter(training_blocks(data))).batch_spec == training_batches(data).element_spec


def test_an_evaluation_has_the_streams_that_have_the_split():
    data = side_by_side(
        seed=0,
        streams={"a": stream(10, split="test", batch_size=4), "b": stream(3, 100, batch_size=4)},
    )
    assert list(training_batches(data).element_spec) == ["a", "b"]
    batches = evaluation_batches(data, "test")
    assert list(batches.element_spec) == ["a"]
    (first, short) = itertools.islice(batches, 2)
    assert first["a"][0].numpy().tolist() == [0, 1, 2, 3]
    assert short["a"][0].numpy().tolist() == [4]
    both = replace(data, others={"b": stream(9, 200, split="test", batch_size=2)})
    expected = [{"a": [0, 1, 2, 3], "b": [200, 201]}, {"a": [4], "b": [202]}]
    for batches in (evaluation_batches(both, "test"), of_blocks(evaluation_blocks(both, "test"))):
        found = tf.nest.map_structure(
            lambda t: t.numpy().tolist(), list(itertools.islice(batches, 2))
        )
        assert [{name: part[0] for name, part in batch.items()} for batch in found] == expected


@pytest.mark.parametrize(
    ("words", "path", "text"),
    [
        (["data.epoch=labeled"], "data.epoch", "the streams are labelled, extra. Did you mean"),
        (["data.batch_size=4"], "data.batch_size", "zip takes no 'batch_size'"),
        (["data.streams.extra.drop_remainder=true"], "data.streams.extra.drop_remainder", "effect"),
        (["data.streams.extra={name: zip, streams: {a: digits}}"], "data.streams.extra", "cannot"),
        (["data.streams.extra.batchsize=4"], "data.streams.extra.batchsize", "'batch_size'"),
        (["data.streams={}"], "data.streams", "at least 1"),
    ],
)
def test_wrong_streams_are_found_before_anything_is_read(tmp_path, monkeypatch, words, path, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(
        "step: gan\nnetworks: {generator: mlp, discriminator: mlp}\n"
        "optimizers: {generator: adam, discriminator: adam}\n"
        "data: {name: zip, streams: {labelled: {name: digits}, extra: {name: random}}}\n"
    )
    read("a.yaml")
    with pytest.raises(ConfigError) as caught:
        read("a.yaml", words)
    (problem,) = caught.value.problems
    assert ".".join(map(str, problem.path)) == path
    assert text in problem.text
