"""The values that a step returns are logged as values of whole epochs."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.engine.epoch_logs import NotOneNumber
from fitx.engine.modes.execution_modes import ExecutionPlan
from fitx.errors import UserCodeError
from fitx.step import Step

X = np.arange(20, dtype="float32").reshape(10, 2)
"""Ten rows: batches of 4 leave a last one of 2."""


class Returning(Step):
    """Trains nothing; its steps return what they are made of."""

    def train_step(self, data):
        return self.methods[0](self, data)

    def test_step(self, data):
        return self.methods[-1](self, data)


def returning(*methods):
    step = Returning(model=network(2))
    step.methods = methods
    return step


def network(features):
    return keras.Sequential([keras.Input((features,)), keras.layers.Dense(1)])


def compiled(step, **keywords):
    step.compile({}, **keywords)
    return step


def batches(x=X):
    return tf.data.Dataset.from_tensor_slices(x).batch(4).repeat()


def fit(step, x=X, epochs=1, **keywords):
    keywords = {"steps_per_epoch": 3, "verbose": 0, "shuffle": False, **keywords}
    return step.fit(batches(x), epochs=epochs, **keywords).history


def evaluate(step, x=X, **keywords):
    return step.evaluate(batches(x), steps=3, verbose=0, return_dict=True, **keywords)


def mean_of(name):
    return lambda step, x: {name: tf.reduce_mean(x)}


def fed(step, x):
    """Feed every metric as the guide does, and return them as it does."""
    for metric in step.metrics:
        if metric.name == "loss":
            metric.update_state(tf.reduce_mean(x))
        else:
            metric.update_state(x[:, :1], x[:, 1:])
    return {m.name: m.result() for m in step.metrics}


def test_a_raw_loss_is_logged_truly_and_not_as_zero():
    step = compiled(returning(mean_of("loss")))

    # Stock Keras logs 0.0 here, from the loss tracker that nobody feeds.
    assert fit(step, epochs=2)["loss"] == [X.mean(), X.mean()]
    assert evaluate(step) == {"loss": X.mean()}


def test_raw_names_give_the_mean_of_the_epoch_by_rows_and_not_the_last_batch():
    step = compiled(returning(lambda s, x: {"d_loss": tf.reduce_mean(x), "top": tf.reduce_max(x)}))

    history = fit(step, epochs=2)

    assert history["d_loss"] == [X.mean(), X.mean()]
    assert history["top"] == pytest.approx([(4 * 7 + 4 * 15 + 2 * 19) / 10] * 2)


def test_names_are_logged_in_the_order_in_which_the_step_returns_them():
    step = compiled(returning(lambda s, x: {"z": 1.0, "a": 2, "m": {"inner": tf.constant(3)}}))

    fit(step)

    assert step.execution.logs["train"].names == ("z", "a", "inner")
    assert step.execution.logs["train"].result() == {"z": 1.0, "a": 2.0, "inner": 3.0}


def test_metrics_that_the_step_feeds_log_themselves():
    step = compiled(returning(fed), loss="mse", metrics=["mae"])

    history = fit(step, epochs=2)

    # A mean over batches, because the step feeds it once a batch.
    assert history["loss"] == pytest.approx([np.mean([X[:4].mean(), X[4:8].mean(), 18.5 - 1])] * 2)
    assert history["mae"] == [1.0, 1.0]
    assert [m.name for m in step.metrics] == ["loss", "compile_metrics"]


def test_compiled_metrics_that_the_step_never_feeds_do_no_harm():
    step = compiled(returning(mean_of("d_loss")), metrics=["mae"])

    # Stock Keras crashes at the end of the epoch: the metric has not been built.
    assert fit(step) == {"d_loss": [X.mean()]}
    assert evaluate(step) == {"d_loss": X.mean()}


def test_compiled_metrics_are_logged_by_the_names_that_keras_gives_them():
    def train(step, x):
        return step.compute_metrics(x, x[:, :1], x[:, 1:])

    step = compiled(returning(train), metrics=["mae", keras.metrics.MeanSquaredError(name="sq")])

    # The loss, which the step does not compute, is not shown as 0.0.
    assert fit(step) == {"mae": [1.0], "sq": [1.0]}


@pytest.mark.parametrize("is_last", [False, True])
def test_a_returned_loss_counts_beside_the_results_of_the_compiled_metrics(is_last):
    def train(step, x):
        loss, rest = {"loss": tf.reduce_mean(x)}, step.compute_metrics(x, x[:, :1], x[:, 1:])
        return {**rest, **loss} if is_last else {**loss, **rest}

    step = compiled(returning(train), metrics=["mae"])

    # Under stock Keras it is 0.0: the loss tracker that nobody feeds comes last.
    assert fit(step, epochs=2) == {"loss": [X.mean()] * 2, "mae": [1.0, 1.0]}


def test_the_loss_tracker_of_keras_is_not_logged_by_a_step_that_does_not_feed_it():
    def train(step, x):
        step.tracker.update_state(x)
        return {m.name: m.result() for m in step.metrics}

    step = returning(train)
    step.tracker = keras.metrics.Mean(name="total")

    assert fit(compiled(step), epochs=2) == {"total": [X.mean()] * 2}


def test_the_result_of_a_metric_that_the_step_does_not_update_is_an_error():
    step = returning(lambda step, x: {"d": 2 * step.tracker.result(), "x": tf.reduce_mean(x)})
    step.tracker = keras.metrics.Mean(name="d_loss")

    with pytest.raises(UserCodeError, match="'d', the result of a metric that it does not update"):
        compiled(step).execution.trace("train", batches().element_spec, 4)


class Holder:
    """An object of a step in which Keras finds no metrics."""

    def __init__(self):
        self.tracker = keras.metrics.Mean(name="inner")


@pytest.fixture(autouse=True)
def metric_of_the_module():
    """Make it anew: what earlier tests had in memory is hidden from the garbage collector."""
    global OF_THE_MODULE
    OF_THE_MODULE = keras.metrics.Mean(name="loss")


@pytest.mark.parametrize("place", ["module", "object", "closure"])
def test_a_metric_that_no_epoch_would_reset_is_an_error(place):
    kept = keras.metrics.Mean(name="kept")
    places = {
        "module": lambda step: OF_THE_MODULE,
        "object": lambda step: step.holder.tracker,
        "closure": lambda step: kept,
    }

    def train(step, x):
        tracker = places[place](step)
        tracker.update_state(x)
        return {"loss": tracker.result()}

    step = returning(train)
    step.holder = Holder()

    # Logged as a number of the batch, it would be a mean of running means.
    with pytest.raises(UserCodeError, match="a metric that is not among the step's metrics"):
        compiled(step).execution.trace("train", batches().element_spec, 4)


@pytest.mark.parametrize("place", ["list", "dictionary", "property"])
def test_metrics_kept_in_lists_and_dictionaries_or_listed_are_reset_with_each_epoch(place):
    class Listing(Returning):
        @property
        def metrics(self):
            return [OF_THE_MODULE]

    def train(step, x):
        tracker = {"list": step.a[0], "dictionary": step.b["t"], "property": OF_THE_MODULE}[place]
        tracker.update_state(x + tf.cast(step.optimizer_steps.assign_add(1) > 3, x.dtype))
        return {"mean": tracker.result()}

    step = (Listing if place == "property" else Returning)(model=network(2))
    step.methods = [train]
    step.a, step.b = [keras.metrics.Mean()], {"t": keras.metrics.Mean()}
    step.optimizer_steps = tf.Variable(0)

    assert fit(compiled(step), epochs=2)["mean"] == [X.mean(), X.mean() + 1]


def test_a_tracker_that_nobody_feeds_does_not_hide_the_returned_value():
    step = returning(mean_of("d_loss"))
    step.tracker = keras.metrics.Mean(name="d_loss")

    assert fit(compiled(step))["d_loss"] == [X.mean()]


def test_a_tracker_of_the_step_goes_before_the_one_of_the_same_name_that_keras_keeps():
    def train(step, x):
        step.tracker.update_state(tf.reduce_mean(x))
        return {"loss": step.tracker.result()}

    step = returning(train)
    step.tracker = keras.metrics.Sum(name="loss")

    assert fit(compiled(step), epochs=2)["loss"] == pytest.approx([3.5 + 11.5 + 17.5] * 2)


def test_results_of_metrics_under_other_names_are_taken_as_they_are_at_the_end():
    def train(step, x):
        step.tracker.update_state(x)
        step.rows.update_state(tf.ones(tf.shape(x)[0]))
        mean, rows = step.tracker.result(), step.rows.result()
        return {"mean": mean, "sum": 2 * mean * rows, "with_batch": mean + tf.reduce_max(x)}

    step = returning(train)
    step.tracker = keras.metrics.Mean(name="discriminator_loss")
    step.rows = keras.metrics.Sum(name="n")

    history = fit(compiled(step), epochs=2)

    # A mean of running means would be none of these.
    assert history["mean"] == [X.mean(), X.mean()]
    assert history["sum"] == [X.sum(), X.sum()]
    assert history["with_batch"] == pytest.approx(
        [(4 * (3.5 + 7) + 4 * (7.5 + 15) + 2 * 28.5) / 10] * 2
    )


def test_values_of_variables_that_are_not_trained_are_logged_as_their_last():
    rates = [0.5, 0.25, 0.125, 0.0625]
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1, 2, 3], rates)
    probability = tf.Variable(1.0)
    seeds = keras.random.SeedGenerator(3)

    def train(step, x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(step(x) ** 2)
        rate = step.optimizer.learning_rate
        step.minimize(loss, tape)
        probability.assign(probability * 0.5)
        drawn = keras.random.uniform((), seed=seeds)
        size = tf.reduce_sum(step.model.layers[0].bias)
        return {"rate": rate, "chance": 1 - probability, "drawn": drawn, "size": size}

    step = returning(train)
    step.model.layers[0].bias.assign([8.0])
    step.compile({"model": keras.optimizers.SGD(schedule)})
    logs = fit(step)
    seeds = keras.random.SeedGenerator(3)
    drawn = [float(keras.random.uniform((), seed=seeds)) for _ in range(3)]

    assert (logs["rate"], logs["chance"]) == ([0.25], [0.875])
    # Random numbers, and what is trained, belong to the batch.
    assert logs["drawn"] == pytest.approx([np.average(drawn, weights=[4, 4, 2])])
    assert logs["size"][0] != pytest.approx(float(step.model.layers[0].bias[0]))


def test_a_metric_that_gives_several_values_logs_each():
    class Both(keras.metrics.Mean):
        def result(self):
            return {"sum": self.total, "count": self.count}

    def train(step, x):
        step.both.update_state(x)
        return {"both": step.both.result()}

    step = returning(train)
    step.both = Both(name="both")

    # Its results are variables themselves: they are read before validation resets them.
    history = fit(compiled(step), epochs=2, validation_data=batches(X[:4]), validation_steps=1)

    assert history["sum"] == [X.sum() / 2, X.sum() / 2]
    assert history["count"] == [10.0, 10.0]
    assert history["val_sum"] == [14.0, 14.0]


def test_metrics_inside_the_layers_of_a_network_are_logged_and_reset():
    class Counting(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.rows = keras.metrics.Sum(name="rows")

        def call(self, x):
            self.rows.update_state(tf.ones(tf.shape(x)[0]))
            return x

    def train(step, x):
        step(x, training=True)
        return {m.name: m.result() for m in step.metrics if m.name == "rows"}

    step = returning(train)
    step.model = keras.Sequential([keras.Input((2,)), Counting()])

    assert fit(compiled(step), epochs=2)["rows"] == [10.0, 10.0]


def test_a_second_form_of_batches_is_traced_anew_and_logged_truly():
    step = compiled(returning(mean_of("loss"), fed))
    wide = np.ones((10, 3), "float32")

    # The test step feeds Keras' loss tracker, which must not make training look as if it did.
    assert [fit(step)["loss"], evaluate(step)["loss"]] == [[X.mean()], pytest.approx(32.5 / 3)]
    assert [fit(step, wide)["loss"], evaluate(step, wide)["loss"]] == [[1.0], 1.0]
    assert fit(step)["loss"] == [X.mean()]


def test_a_step_is_not_traced_again_in_training_however_short_the_last_batch():
    traces = []

    def train(step, x):
        traces.append(x.shape)
        return {"loss": tf.reduce_mean(x)}

    step = compiled(returning(train))
    names = step.execution.trace("train", batches().element_spec, 4)
    before = len(traces)
    fit(step, epochs=3)

    assert names == ("loss",)
    assert len(traces) == before


def test_tracing_runs_nothing_and_no_step_runs_more_often_than_there_are_batches():
    def train(step, x):
        step.counter.assign_add(1)
        return {"count": tf.cast(step.counter.value, "float32")}

    step = returning(train)
    step.counter = step.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)
    compiled(step).execution.trace("train", batches().element_spec, 4)
    before = int(step.counter.value)
    history = fit(step, epochs=3)

    # Stock Keras runs one step more each epoch where it does not know the length of the data.
    assert (before, int(step.counter.value)) == (0, 9)
    assert history["count"] == [3.0, 6.0, 9.0]


def test_an_evaluation_in_the_middle_of_an_epoch_leaves_its_values_alone():
    class Asking(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.found = evaluate(self.model, X[:4] * 0)

    step = compiled(returning(lambda s, x: {**fed(s, x), "raw": tf.reduce_mean(x)}))
    asking = Asking()

    history = fit(
        step, epochs=2, callbacks=[asking], validation_data=batches(X), validation_steps=3
    )

    assert asking.found == {"loss": 0.0, "raw": 0.0}
    assert history["raw"] == history["val_raw"] == [X.mean(), X.mean()]
    assert history["loss"] == history["val_loss"] == pytest.approx([32.5 / 3] * 2)


def test_callbacks_that_predict_or_read_the_metrics_disturb_nothing():
    class Looking(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.found = {m.name: float(m.result()) for m in self.model.metrics}
            self.predicted = self.model.predict(X, verbose=0)

    step, looking = compiled(returning(fed)), Looking()

    history = fit(step, epochs=2, callbacks=[looking])

    assert looking.found == {"loss": pytest.approx(history["loss"][-1])}
    assert looking.predicted == pytest.approx(np.asarray(step.model(X)))


def test_values_of_batches_leave_the_device_only_where_they_are_read():
    class Reading(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append(logs)

    step, quiet, reading = compiled(returning(mean_of("loss"))), Reading(), Reading()

    fit(step, callbacks=[quiet])
    step.execution.use_plan(ExecutionPlan(returns_values=True))
    history = fit(step, callbacks=[reading])

    assert quiet.seen == [{}, {}, {}]
    assert reading.seen == [{"loss": 3.5}, {"loss": 11.5}, {"loss": 17.5}]
    assert history["loss"] == [X.mean()]


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (None, "train_step returned NoneType; it must return a dictionary of values."),
        (1.0, "train_step returned float; it must return a dictionary of values."),
        ({1: 1.0}, "train_step returned the name 1; names must be non-empty strings."),
        ({"a": None}, "the step returned 'a' as a NoneType; return one number."),
        ({"a": "high"}, "the step returned 'a' as a string; return one number."),
        ({"a": [1.0, 2.0]}, "the step returned 'a' as an array of shape (2,); return one number."),
    ],
)
def test_what_is_no_dictionary_of_numbers_is_the_users_error(returned, text):
    step = compiled(returning(lambda s, x: returned))

    with pytest.raises(UserCodeError) as caught:
        step.execution.trace("train", batches().element_spec, 4)

    assert str(caught.value) == text


def test_a_metric_that_gives_an_array_is_named():
    step = returning(fed)
    step.scores = keras.metrics.F1Score(name="f1")

    with pytest.raises(NotOneNumber) as caught:
        compiled(step).execution.trace("train", batches().element_spec, 4)

    assert (caught.value.name, caught.value.description) == ("f1", "an array of shape (1,)")
