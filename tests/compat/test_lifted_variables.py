"""Variables that are made while a step is traced, unseen by the trace."""

import tensorflow as tf

from fitx.compat.lifted_variables import lifted_variables


def counted(make):
    """Return the variable that a function makes while it is traced, and how often it was traced."""
    made, traces = [], []

    def step():
        traces.append(1)
        if not made:
            made.append(make())
        return made[0].assign_add(1.0)

    function = tf.function(step, autograph=False)
    function()
    function()
    return made[0], len(traces)


def lifted():
    with lifted_variables():
        return tf.Variable(1.0)


def test_tensorflow_still_traces_once_where_variables_are_lifted():
    variable, traces = counted(lifted)

    assert (float(variable), traces) == (3.0, 1)
    assert counted(lambda: tf.Variable(1.0))[1] == 2


def test_tensorflow_still_lets_a_strategy_make_lifted_variables():
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        variable = lifted()

    assert isinstance(variable, tf.distribute.DistributedValues)
