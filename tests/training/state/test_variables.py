import numpy as np
import pytest

from fitx.build.make import make
from fitx.build.preflight import trace_and_check
from fitx.errors import StorageError
from fitx.training.state.variables import (
    assign,
    capture,
    network_state,
    network_variables,
    variables,
)


@pytest.fixture
def step(tiny):
    return make(tiny()).step


def test_every_variable_has_one_name_of_its_own(step):
    named = variables(step)
    every = [
        *step.networks["model"].variables,
        *step.optimizer.variables,
        *step.variables,
        *step.metrics_variables,
    ]
    assert {id(v) for v in named.values()} == {id(v) for v in every}
    assert len(named) == len({id(v) for v in every})


def test_names_begin_with_what_a_variable_belongs_to(step):
    kinds = {name.partition("/")[0] for name in variables(step)}
    assert kinds == {"networks", "optimizers", "metrics"}
    assert "networks/model/sequential/dense/kernel" in variables(step)


def test_names_do_not_depend_on_what_the_process_made_before(tiny):
    first, second = (variables(make(tiny()).step) for _ in range(2))
    assert first.keys() == second.keys()


def test_two_variables_of_one_path_get_two_names(tiny):
    step = make(tiny("model.layers=[{name: dense, units: 2}, {name: dense, units: 1}]")).step
    kernels = [v for v in step.networks["model"].trainable_variables if "kernel" in v.path]
    named = variables(step)
    assert len(kernels) == 2
    assert {id(v) for v in kernels} <= {id(v) for v in named.values()}


def test_what_is_captured_can_be_put_back(step):
    before = capture(variables(step))
    for variable in step.networks["model"].trainable_variables:
        variable.assign_add(np.ones(variable.shape))
    assign(network_variables(step), {k: v for k, v in before.items() if k.startswith("networks/")})
    after = capture(variables(step))
    assert all(np.array_equal(after[name], before[name]) for name in before)


def test_networks_can_be_captured_alone(step):
    assert {name.partition("/")[0] for name in network_state(step)} == {"networks"}


def test_a_variable_that_is_missing_from_the_checkpoint_is_named(step):
    state = network_state(step)
    del state["networks/model/sequential/dense/kernel"]
    with pytest.raises(StorageError) as error:
        assign(network_variables(step), state)
    assert str(error.value) == (
        "the checkpoint lacks 'networks/model/sequential/dense/kernel', "
        "which the experiment builds."
    )


def test_a_variable_that_only_the_checkpoint_has_is_named(step):
    state = {**network_state(step), "networks/model/extra": np.zeros(3)}
    with pytest.raises(StorageError) as error:
        assign(network_variables(step), state)
    extra = "the checkpoint holds 'networks/model/extra', which the experiment does not build."
    assert str(error.value) == extra


@pytest.mark.parametrize(
    ("array", "found"),
    [(np.zeros((4, 5), "float32"), "float32 (4, 5)"), (np.zeros((4, 3)), "float64 (4, 3)")],
)
def test_another_shape_or_dtype_is_refused(step, array, found):
    state = {**network_state(step), "networks/model/sequential/dense/kernel": array}
    with pytest.raises(StorageError) as error:
        assign(network_variables(step), state)
    start = f"the checkpoint's 'networks/model/sequential/dense/kernel' is {found}; "
    assert str(error.value) == start + "the experiment builds float32 (4, 3)."


def test_nothing_is_set_unless_everything_fits(step):
    before = network_state(step)
    state = {name: array + 1 for name, array in before.items()}
    state["networks/model/sequential/dense_1/bias"] = np.zeros(7)
    with pytest.raises(StorageError):
        assign(network_variables(step), state)
    assert all(np.array_equal(network_state(step)[name], before[name]) for name in before)


def test_many_differences_are_cut_short(step):
    with pytest.raises(StorageError) as error:
        assign(variables(step), {})
    lines = str(error.value).splitlines()
    assert len(lines) == 6
    assert lines[-1] == f"and {len(variables(step)) - 5} more."


TABLE = """
import tensorflow as tf
from fitx import Step, steps


@steps.register
class Plugin(Step):
    def __init__(self, model):
        super().__init__(model=model)
        self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0)
        self.places = tf.lookup.experimental.DenseHashTable(tf.int64, tf.int64, 0, -1, -2)
        self.word = tf.Variable("a")

    def train_step(self, data):
        self.table.insert([self.word], [1.0])
        self.places.insert([1], [2])
        return {"rows": tf.cast(self.table.size() + self.places.size(), "float32")}
"""


def test_bytes_that_are_no_table_and_no_string_are_refused_before_anything_is_set(tiny):
    built = make(tiny("step=plugin", "~loss", "~metrics", "~checkpoint", plugin=TABLE))
    trace_and_check.trace(built)
    named = variables(built.step)
    state = capture(named)
    packed = [name for name in state if state[name].dtype == np.uint8]
    assert sorted(packed) == ["graph/table", "graph/table#2", "step/word"]

    for name in packed:
        for bad in (state[name][:-1], np.append(state[name], state[name]), state[packed[0]][8:]):
            changed = {key: array + 1 for key, array in state.items() if key not in packed}
            with pytest.raises(StorageError, match=f"^the checkpoint's '{name}': "):
                assign(named, {**state, **changed, name: bad})
    after = capture(named)
    assert all(np.array_equal(after[name], state[name]) for name in state)
