"""What a checkpoint cannot hold of a step is told by the user's own line."""

from fitx.build import agreement
from fitx.build.inexact import unsaved
from fitx.build.make import make

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


def traced(experiment):
    trial = make(experiment)
    agreement.trace(trial)
    return trial


def test_operations_that_keep_their_state_are_told_by_their_lines(written):
    trial = traced(written("step=hiding", "~loss", hiding=HIDING))

    assert unsaved(trial) == [
        "train_step draws with RandomUniform of hiding.py:12 "
        "(`noise = tf.raw_ops.RandomUniform(shape=[1], dtype=tf.float32)`), whose position "
        "TensorFlow keeps to itself: a resumed run draws other numbers; use keras.random with a "
        "keras.random.SeedGenerator",
        "train_step calls Python by PyFunc of hiding.py:13 "
        "(`kept = tf.numpy_function(lambda: 1.0, [], tf.float64)`): what it draws or keeps there "
        "is not saved, and a resumed run goes on exactly only if that is nothing; use operations "
        "of TensorFlow or keras.ops",
    ]


def test_a_step_whose_state_is_all_saved_is_told_nothing_about(written):
    layers = (
        "model={name: sequential, layers: [{name: dropout, rate: 0.5},"
        " {name: reshape, target_shape: [3, 1]}, {name: lstm, units: 1, dropout: 0.5}]}"
    )

    assert not unsaved(traced(written(layers, "data.validation_split=0.2")))
