"""A traced graph lists the variables that it captures, and those that it may change."""

import keras
import pytest
import tensorflow as tf

from fitx.engine.step_graph import assigned_variables, captured_variables
from fitx.step import Step


class Keeping(Step):
    """Uses variables in every way in which one can be used, and those of no network."""

    def __init__(self, model):
        super().__init__(model=model)
        self.scale, self.count, self.in_loop, self.in_function = map(tf.Variable, range(4))
        self.rows, self.unused = tf.Variable([[1.0], [2.0]]), tf.Variable(0.0)

    def train_step(self, data):
        scale = self.scale + self.scale
        self.count.assign_add(scale)

        def body(i):
            return (i + self.in_loop,)

        tf.while_loop(lambda i: i < 3, body, (0,))
        tf.function(lambda: self.in_function.assign_add(1), autograph=False)()
        row = tf.gather(self.rows, 1)
        return {"row": row[0] + keras.random.normal(())}

    def test_step(self, data):
        return {"scale": self.scale + self.count}


@pytest.fixture
def step():
    step = Keeping(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))
    step.compile({})
    return step


def graph(step, kind, rows=2):
    return step.execution.step_graphs[kind].graph(tf.TensorSpec((rows, 3), tf.float32))


def test_the_variables_of_a_graph_come_in_the_order_of_their_use(step):
    keras.utils.set_random_seed(7)

    found = captured_variables([graph(step, "train")])

    generator = keras.src.random.seed_generator.global_seed_generator().state.value
    own = [step.scale, step.count, step.in_loop, step.in_function, step.rows, generator]
    mean = step.execution.logs["train"].means["row"]
    assert ids(found) == ids([*own, *(variable.value for variable in mean.variables)])


def test_several_graphs_hold_each_variable_once(step):
    train, sized, test = graph(step, "train"), graph(step, "train", None), graph(step, "test")

    mean = step.execution.logs["test"].means["scale"]
    of_test = [variable.value for variable in mean.variables]
    assert step.execution.step_graphs["train"].graphs == [train, sized]
    of_train = captured_variables([train])
    assert ids(captured_variables([train, sized, test])) == ids([*of_train, *of_test])


def test_what_a_graph_only_reads_is_not_written(step):
    read = [step.scale, step.rows]

    train, test = graph(step, "train"), graph(step, "test")

    found = captured_variables([train])
    assert ids(assigned_variables(train)) == [key for key in ids(found) if key not in ids(read)]
    assert not {*ids(assigned_variables(test))} & {*ids([step.scale, step.count])}


def ids(variables):
    return [id(variable) for variable in variables]
