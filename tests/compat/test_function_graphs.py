"""Graphs of functions: what they call, and what they capture."""

import tensorflow as tf

from fitx.compat import function_graphs


def test_tensorflow_still_gives_called_functions_by_name():
    helper = tf.function(lambda x: tf.sin(x), autograph=False)

    def step(x):
        return tf.while_loop(lambda y: y[0] < 3.0, lambda y: (helper(y) + 1.0,), (x,))[0]

    graph = tf.function(step, autograph=False).get_concrete_function(tf.zeros(1)).graph
    loop = next(op for op in graph.get_operations() if "While" in op.type)

    assert "Sin" in {op.type for op in function_graphs.operations(graph)}
    assert "Sin" not in {op.type for op in graph.get_operations()}
    assert len(list(function_graphs.called(loop))) == 2


def test_tensorflow_still_lists_what_a_graph_captures():
    variable, seen = tf.Variable(1.0), []

    def step():
        value = variable + 1.0
        seen.extend(function_graphs.captures())
        return value

    tf.function(step, autograph=False).get_concrete_function()

    ((outside, inside),) = seen
    assert outside is variable.handle
    assert [op.type for op in inside.consumers()] == ["ReadVariableOp"]


def test_operations_of_a_scratch_graph_are_thrown_away():
    variable = tf.Variable(1.0)

    def step():
        with function_graphs.scratch_graph():
            tf.sin(variable)
        return tf.constant(1.0)

    graph = tf.function(step, autograph=False).get_concrete_function().graph

    assert "Sin" not in {op.type for op in graph.get_operations()}


def test_graphs_being_traced_are_listed_from_the_innermost():
    names = []

    def body(y):
        names.append([graph.name for graph in function_graphs.graphs_being_traced()])
        return (y + 1.0,)

    def step(x):
        return tf.while_loop(lambda y: y < 3.0, body, (x,))[0]

    tf.function(step, autograph=False).get_concrete_function(tf.constant(0.0))

    assert not list(function_graphs.graphs_being_traced())
    assert "body" in names[-1][0]
    assert names[-1][-1] == "step"
