"""A traced graph lists its variables; a step traced too often warns, and names the change."""

import warnings

import keras
import numpy as np
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


class Counting(Step):
    """Counts how often its Python runs."""

    def __init__(self, model):
        super().__init__(model=model)
        self.mean = keras.metrics.Mean(name="mean")
        self.traces = 0

    def train_step(self, data):
        self.traces += 1
        for array in tf.nest.flatten(data):
            self.mean.update_state(array)
        return {"mean": self.mean.result()}

    def test_step(self, data):
        return self.train_step(data)


@pytest.fixture
def counting_step():
    step = Counting(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))
    step.compile({})
    return step


def repeated(data):
    return tf.data.Dataset.from_tensors(data).repeat()


def fit(step, data):
    step.fit(repeated(data), steps_per_epoch=2, epochs=2, verbose=0, shuffle=False)


def warning(step, *batches):
    """Fit batch after batch and return the one warning."""
    with pytest.warns(UserWarning) as caught:
        for data in batches:
            fit(step, data)
    assert len(caught) == 1
    return str(caught[0].message)


def x(*shape, dtype="float32"):
    return np.ones(shape, dtype)


def test_two_kinds_of_batches_give_no_warning(counting_step):
    with warnings.catch_warnings(record=True) as caught:
        for rows in (8, 8, 4, 8, 4):
            fit(counting_step, x(rows, 3))
    assert (caught, counting_step.traces) == ([], 2)


def test_the_third_kind_gives_one_warning_with_the_remedy(counting_step):
    text = warning(counting_step, *[x(rows, 3) for rows in (8, 7, 6, 5, 4)])

    assert text == (
        "train_step is traced for the 3rd time, because x was float32 (7, 3) and is float32 (6, 3)."
        " Each kind of batch costs a trace, and in an XLA mode a compilation: pad to one shape,"
        " keep one dtype, and drop a shorter last batch with `data.drop_remainder`."
    )
    assert counting_step.traces == 5


@pytest.mark.parametrize(
    ("last", "change"),
    [
        ((x(4, 3), x(4, 2)), "y was float32 (4, 1) and is float32 (4, 2)"),
        ((x(4, 3), x(4, 1, dtype="int32")), "y was float32 (4, 1) and is int32 (4, 1)"),
        ((x(4, 3), x(4, 1), x(4)), "sample_weight is new"),
        ((x(4, 3),), "y is missing"),
        (({"a": x(4, 3)}, x(4, 1)), "x['a'] is new"),
        (((x(4, 3),), x(4, 1)), "x[0] is new"),
    ],
)
def test_what_changed_is_named(counting_step, last, change):
    before = (x(4, 3), x(4, 1))

    text = warning(counting_step, (x(2, 3), x(2, 1)), before, last)

    assert f", because {change}. " in text


def test_another_structure_of_the_same_arrays_is_named(counting_step):
    graph = counting_step.execution.step_graphs["train"].graph
    specs = [tf.TensorSpec((4, 3)), tf.TensorSpec((4, None)), tf.RaggedTensorSpec((4, None))]

    with pytest.warns(UserWarning, match="because the batch has another structure"):
        for spec in specs:
            graph(spec)


def test_an_array_inside_a_dictionary_is_named_by_its_path(counting_step):
    def batch(length):
        return {"image": x(4, 3), "words": (x(4, length),)}, x(4, 1)

    assert ", because x['words'][0] was float32 (4, 6) and is float32 (4, 7). " in warning(
        counting_step, batch(5), batch(6), batch(7)
    )


def test_evaluation_gives_a_warning_of_its_own(counting_step):
    for rows in (8, 7):
        fit(counting_step, x(rows, 3))
    with pytest.warns(UserWarning, match="^test_step is traced for the 3rd time, because x was"):
        for rows in (8, 7, 6):
            counting_step.evaluate(repeated(x(rows, 3)), steps=1, verbose=0)


def test_a_run_whose_last_batch_is_shorter_traces_its_step_once(counting_step):
    batches = tf.data.Dataset.from_tensor_slices(x(10, 3)).batch(4).repeat()
    counting_step.fit(batches, steps_per_epoch=3, epochs=3, verbose=0, shuffle=False)
    assert counting_step.traces == 1


def test_a_step_that_returns_plain_numbers_is_traced_once():
    traces = []

    class Returning(Step):
        def train_step(self, data):
            traces.append(data)
            return {"loss": tf.reduce_mean(data), "top": tf.reduce_max(data)}

    step = Returning(model=keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))
    step.compile({})
    fit(step, x(4, 3))

    assert len(traces) == 1
