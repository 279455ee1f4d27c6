"""Functions that run many steps a call run each once, in order; callbacks get their numbers."""

from functools import cache

import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.data import row_blocks as cutting
from fitx.data.feed import evaluation_batches, training_batches
from fitx.data.prepare import prepare
from fitx.data.row_blocks import evaluation_blocks, training_blocks
from fitx.data.splits import Split
from fitx.engine.loops.block_loop import CHUNK_GROWTH, CHUNK_SECONDS, ChunkSize
from fitx.engine.modes.execution_modes import MODES, ExecutionPlan
from fitx.experiment.schema import DataOptions
from fitx.step import Step

X = np.arange(46, dtype="float32").reshape(23, 2)
DATA = prepare({"train": Split(X)}, DataOptions(batch_size=4), seed=3)
STEPS = 6
"""Of one pass over the data, the last one with three rows."""

BLOCKS = [name for name, mode in MODES.items() if mode.takes_blocks]


class Counting(Step):
    """Trains nothing; what it keeps tells which batches it saw, and in which order."""

    def __init__(self, model):
        super().__init__(model=model)
        number = {"shape": (), "dtype": "int32", "initializer": "zeros", "trainable": False}
        self.steps, self.order = self.add_weight(**number), self.add_weight(**number)

    def train_step(self, data):
        self.steps.assign_add(1)
        rows = tf.cast(tf.reduce_sum(data[:, 0]), "int32")
        self.order.assign(31 * self.order.value + rows)
        return {"mean": tf.reduce_mean(data), "steps": tf.cast(self.steps.value, "float32")}

    def test_step(self, data):
        return {"mean": tf.reduce_mean(data)}

    @property
    def seen(self):
        return int(self.steps.value), int(self.order.value)


class CallRecorder(keras.callbacks.Callback):
    """Records the calls for epochs and batches, in training and evaluation."""

    def __init__(self, at_end=lambda step, batch: None):
        super().__init__()
        self.calls, self.at_end = [], at_end

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append("epoch")

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("end", batch))
        self.at_end(self.model, batch)

    def on_test_batch_end(self, batch, logs=None):
        self.calls.append(("tested", batch))

    def of(self, what):
        return [item[1] for item in self.calls if item[0] == what]


@pytest.fixture(params=[None, 2], ids=["one_block_an_epoch", "three_blocks_an_epoch"])
def most(request, monkeypatch):
    """Limit the batches that one block may hold."""
    if request.param:
        monkeypatch.setattr(cutting, "MOST_BYTES", request.param * 4 * 8)


def counting(mode, chunk=None):
    """Return a step in a mode; its training calls callbacks at least every `chunk` steps."""
    step = Counting(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    step.compile({})
    follow(step, mode)
    step.chunk = chunk
    return step


def follow(step, mode, **options):
    """Let a step be executed in a mode."""
    step.execution.use_plan(ExecutionPlan({"train": MODES[mode], "test": MODES[mode]}, **options))


def batches(mode):
    return (training_blocks if MODES[mode].takes_blocks else training_batches)(DATA)


def measured(mode, steps=None):
    feed = evaluation_blocks if MODES[mode].takes_blocks else evaluation_batches
    return feed(DATA, "train", steps)


def fit(step, mode, *, steps=STEPS, **keywords):
    keywords = {"epochs": 2, "verbose": 0, "shuffle": False, **limit(step), **keywords}
    return step.fit(batches(mode), steps_per_epoch=steps, **keywords).history


def limit(step):
    """Return the option of `fit` by which callbacks are called at least every `chunk` steps."""
    return {} if step.chunk is None else {"steps_until_due": lambda: step.chunk}


@cache
def plain(**keywords):
    step = counting("plain")
    return fit(step, "plain", **keywords), step.seen


@pytest.mark.parametrize("mode", BLOCKS)
@pytest.mark.parametrize("steps", [4, 9])
def test_every_batch_is_seen_once_and_in_order_however_long_an_epoch_is(mode, steps, most):
    step = counting(mode)

    history = fit(step, mode, steps=steps, epochs=3)

    expected, seen = plain(steps=steps, epochs=3)
    assert step.seen == seen
    assert seen[0] == 3 * steps
    assert history["steps"] == expected["steps"]
    assert history["mean"] == pytest.approx(expected["mean"], rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_callbacks_get_the_number_of_the_last_step_that_ran(chunk, most):
    step, recorder = counting("fused", chunk), CallRecorder()

    fit(step, "fused", callbacks=[recorder])

    first = recorder.calls.index("epoch", 1)
    for calls in (recorder.calls[1:first], recorder.calls[first + 1 :]):
        begins, ends = calls[::2], calls[1::2]
        assert [what for what, _ in begins] == ["begin"] * len(ends)
        assert [what for what, _ in ends] == ["end"] * len(begins)
        assert begins[0] == ("begin", 0)
        assert ends[-1] == ("end", STEPS - 1)
        assert [b for _, b in begins[1:]] == [e + 1 for _, e in ends[:-1]]
        assert all(e - b < chunk for (_, b), (_, e) in zip(begins, ends, strict=True))
    assert recorder.params == {"verbose": 0, "epochs": 2, "steps": STEPS}


def test_a_lambda_callback_gets_it_too():
    ends = []
    told = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(batch))
    recorder = CallRecorder()

    fit(counting("fused", 3), "fused", callbacks=[told, recorder])

    assert ends == recorder.of("end")
    assert ends.count(STEPS - 1) == 2


@pytest.mark.parametrize("mode", MODES)
def test_a_callback_stops_training_within_an_epoch(mode):
    def stop(step, batch):
        step.stop_training = batch >= 3

    step, recorder = counting(mode, 1), CallRecorder(stop)

    history = fit(step, mode, callbacks=[recorder])

    assert (step.seen[0], recorder.of("end")) == (4, [0, 1, 2, 3])
    assert len(history["mean"]) == 1


@pytest.mark.parametrize("mode", ["plain", "fused"])
@pytest.mark.parametrize("steps", [6, 2])
def test_validation_measures_its_steps_whenever_it_is_due(mode, steps, most):
    step, recorder = counting(mode), CallRecorder()

    history = fit(
        step,
        mode,
        epochs=4,
        validation_data=measured(mode, steps),
        validation_steps=steps,
        validation_freq=2,
        callbacks=[recorder],
    )

    assert history["val_mean"] == pytest.approx([X[: 4 * steps].mean()] * 2)
    assert [end for end in recorder.of("tested") if end == steps - 1] == [steps - 1] * 2
    assert recorder.of("tested")[-1] == steps - 1


@pytest.mark.parametrize("mode", ["plain", "fused", "fused_xla"])
def test_a_callback_may_evaluate_within_an_epoch_and_disturbs_nothing(mode):
    found = []

    def ask(step, batch):
        found.append(step.evaluate(measured(mode, 2), steps=2, verbose=0, return_dict=True))

    step, recorder = counting(mode, 2), CallRecorder(ask)

    validation = {"validation_data": measured(mode), "validation_steps": STEPS}
    history = fit(step, mode, callbacks=[recorder], **validation)

    expected, seen = plain()
    assert step.seen == seen
    assert history["mean"] == pytest.approx(expected["mean"], rel=1e-6)
    assert found == [{"mean": X[:8].mean()}] * len(recorder.of("end"))
    assert history["val_mean"] == pytest.approx([X.mean()] * 2)
    assert recorder.of("tested")[-1] == STEPS - 1


@pytest.mark.parametrize("mode", ["plain", "fused"])
def test_evaluations_of_one_step_follow_each_other(mode, most):
    step, recorder = counting(mode), CallRecorder()

    def evaluated(steps):
        return step.evaluate(
            measured(mode, steps), steps=steps, verbose=0, return_dict=True, callbacks=[recorder]
        )

    assert [evaluated(steps)["mean"] for steps in (6, 1, 6)] == pytest.approx(
        [X.mean(), X[:4].mean(), X.mean()]
    )
    assert [end for end in recorder.of("tested") if end in (0, 5)][-1] == 5


def test_a_callback_that_reads_values_gets_the_means_so_far():
    seen = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: seen.append(logs))
    step = counting("fused", 2)
    follow(step, "fused", returns_values=True)

    history = fit(step, "fused", callbacks=[callback], epochs=1)

    assert [list(logs) for logs in seen] == [["mean", "steps"]] * len(seen)
    assert seen[-1] == pytest.approx({name: values[0] for name, values in history.items()})
    assert seen[0]["steps"] == 1.0


def test_fit_can_be_called_again_in_another_mode_and_goes_on_with_the_same_step():
    step = counting("fused")
    fit(step, "fused", epochs=1)
    follow(step, "plain")
    fit(step, "plain", epochs=1)

    once = counting("plain")
    for _ in range(2):
        fit(once, "plain", epochs=1)
    assert step.seen == once.seen


def test_blocks_without_the_number_of_steps_are_refused():
    with pytest.raises(ValueError, match="needs the number of steps of an epoch"):
        fit(counting("fused"), "fused", steps=None)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("skipped", [1, 4, 6])
def test_skipped_steps_run_no_callback_and_take_no_data(mode, skipped, most):
    step, recorder = counting(mode, chunk=1), CallRecorder()
    feed = training_blocks if MODES[mode].takes_blocks else training_batches
    step.fit(
        feed(DATA, first_epoch=1, first_step=skipped),
        steps_per_epoch=STEPS,
        initial_epoch=1,
        epochs=3,
        skip_steps=skipped,
        callbacks=[recorder],
        verbose=0,
        shuffle=False,
        **limit(step),
    )
    expected = [*range(skipped, STEPS), *range(STEPS)]
    assert recorder.of("begin") == recorder.of("end") == expected
    assert step.seen[0] == len(expected)
    assert step.seen == skipped_by_hand(skipped)


@cache
def skipped_by_hand(skipped):
    """Return what the plain mode sees of the batches of two epochs but the first few."""
    step, stream = counting("plain"), iter(training_batches(DATA, first_epoch=1))
    for number in range(2 * STEPS):
        batch = next(stream)
        if number >= skipped:
            step.train_step(batch)
    return step.seen


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
