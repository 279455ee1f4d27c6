"""TensorFlow's random operations draw the same, from a place in the stream that can be set."""

import numpy as np
import pytest
import tensorflow as tf

from fitx.compat.stateful_random import Streams, hidden
from fitx.engine.step_graph import captured_variables

SHAPE = (7, 5)
SAME = {
    "normal": lambda: tf.random.normal(SHAPE),
    "normal of 16 bits": lambda: tf.random.normal(SHAPE, 1, 2, "float16"),
    "normal with a seed": lambda: tf.random.normal(SHAPE, seed=3),
    "truncated": lambda: tf.random.truncated_normal(SHAPE),
    "uniform": lambda: tf.random.uniform(SHAPE),
    "uniform of 64 bits": lambda: tf.random.uniform(SHAPE, -1, 1, "float64"),
    "integers": lambda: tf.random.uniform(SHAPE, 3, 900, "int32"),
    "integers of 64 bits": lambda: tf.random.uniform(SHAPE, -3, 900, "int64"),
    "dropout": lambda: tf.nn.dropout(tf.ones(SHAPE), 0.5),
    "several": lambda: tf.random.normal(SHAPE) + tf.random.normal(SHAPE),
}
OTHER = {
    "permutations": lambda: tf.random.shuffle(tf.range(99)),
    "categorical": lambda: tf.random.categorical(tf.math.log([[0.2, 0.8]]), 99),
    "gamma": lambda: tf.random.gamma([99], [0.5, 3.0]),
    "poisson": lambda: tf.random.poisson([99], [0.5, 3.0]),
}


def traced(draw, streams=None):
    """Return the graph that draws, by TensorFlow's own operations where no streams are given."""
    tf.random.set_seed(7)
    function = tf.function(lambda: draw(), autograph=False)
    if streams is None:
        return function.get_concrete_function()
    with streams.used():
        return function.get_concrete_function()


def calls(function, count=3):
    return [function().numpy() for _ in range(count)]


@pytest.mark.parametrize("name", {**SAME, **OTHER})
def test_tensorflow_still_draws_by_its_functions_of_random_operations(name):
    draw = {**SAME, **OTHER}[name]

    assert hidden(traced(draw))
    assert not hidden(traced(draw, Streams("step")))


@pytest.mark.parametrize("name", SAME)
def test_numbers_are_the_same_to_the_bit_call_after_call(name):
    theirs, ours = traced(SAME[name]), traced(SAME[name], Streams("step"))

    np.testing.assert_array_equal(calls(ours), calls(theirs))


@pytest.mark.parametrize("name", {**SAME, **OTHER})
def test_numbers_go_on_from_where_the_variables_are_set(name):
    graph = traced({**SAME, **OTHER}[name], Streams("step"))
    first = graph().numpy()
    variables = captured_variables([graph])
    place = [variable.numpy() for variable in variables]

    following = calls(graph)
    for variable, value in zip(variables, place, strict=True):
        variable.assign(value)

    np.testing.assert_array_equal(calls(graph), following)
    assert not np.array_equal(first, following[0])
    assert not hidden(graph)
    assert [v.name for v in variables] == [f"step/drawn_{i}:0" for i in range(len(place))]


def test_permutations_and_other_distributions_are_what_they_are_called():
    permutation, categorical, gamma, poisson = (
        traced(draw, Streams("step"))().numpy() for draw in OTHER.values()
    )

    assert sorted(permutation) == list(range(99))
    assert 0.6 < categorical.mean() < 0.95
    assert gamma.mean(axis=0) == pytest.approx([0.5, 3], rel=0.4)
    assert poisson.mean(axis=0) == pytest.approx([0.5, 3], rel=0.4)


def looping():
    def body(i, sum):
        return i + 1, sum + tf.cond(i > 0, lambda: tf.random.normal(SHAPE), lambda: tf.ones(SHAPE))

    return tf.while_loop(lambda i, _: i < 4, body, (0, tf.random.uniform(SHAPE)))[1]


def test_loops_and_branches_draw_the_same():
    np.testing.assert_array_equal(calls(traced(looping, Streams("step"))), calls(traced(looping)))


def test_functions_keep_what_they_draw_from_when_the_step_is_gone():
    helper = tf.function(lambda: tf.random.normal(SHAPE), autograph=False)

    calls(traced(helper, Streams("step")))

    assert not np.array_equal(*calls(traced(helper, Streams("step")), 2))


def test_graphs_of_one_step_go_on_from_each_other():
    streams = Streams("step")
    first, other = (traced(SAME["normal"], streams) for _ in range(2))

    drawn = [first().numpy(), other().numpy(), first().numpy()]

    np.testing.assert_array_equal(drawn, calls(traced(SAME["normal"])))


def test_a_step_that_is_traced_twice_for_its_variables_draws_from_the_first_streams():
    made = []

    def draw():
        if not made:
            made.append(tf.Variable(0.0))
        return tf.random.normal(SHAPE) + made[0]

    assert [v.name for v in captured_variables([traced(draw, Streams("step"))])] == [
        "step/drawn_0:0",
        "Variable:0",
    ]


def test_values_of_variables_made_outside_the_graph_are_left_to_tensorflow():
    def draw():
        with tf.init_scope():
            return tf.random.normal(SHAPE)

    assert not captured_variables([traced(draw, Streams("step"))])


@pytest.mark.parametrize("name", [*SAME, "permutations", "categorical"])
def test_numbers_that_xla_draws_go_on_from_where_the_variables_are_set(name):
    draw = {**SAME, **OTHER}[name]
    drawn = tf.Variable(tf.zeros_like(draw()))

    def step():
        drawn.assign(draw())

    with Streams("step").used():
        graph = tf.function(step, autograph=False).get_concrete_function()
    program = tf.function(lambda: graph() and None, autograph=False, jit_compile=True)
    variables = [variable for variable in captured_variables([graph]) if variable is not drawn]

    def numbers():
        return [program() or drawn.numpy() for _ in range(3)]

    place = [variable.numpy() for variable in variables]
    first = numbers()
    following = numbers()
    for variable, value in zip(variables, place, strict=True):
        variable.assign(value)

    np.testing.assert_array_equal([*numbers(), *numbers()], [*first, *following])
    assert not np.array_equal(first, following)
