"""What a checkpoint cannot hold of a step is told by the user's own line."""

from fitx.build.make import make
from fitx.build.operation_reports import inexact_operations
from fitx.build.preflight import trace_and_check

HIDING = """
    import tensorflow as tf
    from fitx.step import Step
    from fitx.steps import register

    @register
    class Hiding(Step):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            self.minimize(loss, tape, "model")
            noise = tf.raw_ops.RandomUniform(shape=[1], dtype=tf.float32)
            kept = tf.numpy_function(lambda: 1.0, [], tf.float64)
            return {"loss": loss, "noise": noise[0], "drawn": tf.random.normal(())}
"""

HOLDING = """
    import tensorflow as tf
    from fitx.step import Step
    from fitx.steps import register

    @register
    class Holding(Step):
        def __init__(self, model):
            super().__init__(model=model)
            self.queue = tf.queue.FIFOQueue(3, [tf.float32], shapes=[[]])
            self.queue.enqueue(1.0)
            rows = tf.data.Dataset.range(9)
            self.iterator = iter(rows.repeat())
            self.rows, self.shuffled = rows, rows.shuffle(9)
            words = tf.lookup.KeyValueTensorInitializer(["a"], [1.0])
            self.vocabulary = tf.lookup.StaticHashTable(words, 0.0)
            self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0)
            self.writer = tf.summary.create_file_writer("summaries")

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            self.minimize(loss, tape, "model")
            with self.writer.as_default():
                tf.summary.write("loss", loss, step=0)
            word = tf.constant(["a"])
            self.table.insert(word, self.vocabulary.lookup(word))
            return {
                "loss": loss,
                "queue": tf.cond(loss > 0, self.queue.dequeue, lambda: 0.0),
                "iterator": next(self.iterator),
                "first": self.rows.take(1).get_single_element(),
                "shuffled": self.shuffled.take(1).get_single_element(),
                "table": tf.reshape(self.table.lookup(word), ()),
                "rows": tf.reduce_sum(self.table.export()[1]),
                "inside": self.inside(),
            }

        def inside(self):
            table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0)
            return tf.cast(table.size(), tf.float32)
"""


def traced(experiment):
    built = make(experiment)
    trace_and_check.trace(built)
    return built


def test_operations_that_keep_their_state_are_told_by_their_lines(written):
    built = traced(written("step=hiding", "~loss", hiding=HIDING))

    assert inexact_operations(built) == [
        "train_step draws random numbers with RandomUniform of hiding.py:12 "
        "(`noise = tf.raw_ops.RandomUniform(shape=[1], dtype=tf.float32)`), whose position "
        "cannot be saved: a resumed run draws other numbers; use keras.random with a "
        "keras.random.SeedGenerator",
        "train_step calls Python with PyFunc of hiding.py:13 "
        "(`kept = tf.numpy_function(lambda: 1.0, [], tf.float64)`): random numbers and state "
        "in Python are not saved, so a resumed run may differ; use operations of TensorFlow or "
        "keras.ops",
    ]


def test_resources_are_told_by_their_lines_but_for_those_that_are_saved_or_constant(written):
    built = traced(written("step=holding", "~loss", holding=HOLDING))
    used = "whose contents are not saved: a resumed run starts with a new one; keep changing "
    used += "values in a tf.Variable or a lookup table"

    assert set(inexact_operations(built)) == {
        "train_step uses a queue with QueueDequeueV2 of holding.py:30 "
        f'(`"queue": tf.cond(loss > 0, self.queue.dequeue, lambda: 0.0),`), {used}',
        "train_step uses an iterator with IteratorGetNext of holding.py:31 "
        f'(`"iterator": next(self.iterator),`), {used}',
        "train_step uses a dataset with TakeDataset of holding.py:33 "
        f'(`"shuffled": self.shuffled.take(1).get_single_element(),`), {used}',
        "train_step reads the rows of a lookup table with LookupTableExportV2 of holding.py:35 "
        '(`"rows": tf.reduce_sum(self.table.export()[1]),`), in no fixed order: a resumed '
        "run may read them in another order; sort them",
        "train_step creates a resource with MutableHashTableV2 of holding.py:40 "
        "(`table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0)`), which "
        "lasts beyond the step and is not saved: a resumed run starts with a new one; create it in "
        "the step's constructor",
    }


def test_a_step_whose_state_is_all_saved_is_told_nothing_about(written):
    layers = (
        "model={name: sequential, layers: [{name: dropout, rate: 0.5},"
        " {name: reshape, target_shape: [3, 1]}, {name: lstm, units: 1, dropout: 0.5}]}"
    )

    assert not inexact_operations(traced(written(layers, "data.validation_split=0.2")))
