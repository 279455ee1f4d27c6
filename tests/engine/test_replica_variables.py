import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.engine.replicas import replica_variables


@pytest.fixture
def metric():
    """A metric of a strategy, which has a copy on each device, and one of a single device."""
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        distributed = keras.metrics.Mean()
    return {"distributed": distributed, "alone": keras.metrics.Mean()}


@pytest.mark.parametrize(("kind", "shape"), [("distributed", (1,)), ("alone", ())])
def test_a_variable_holds_what_it_was_assigned(kind, shape, metric):
    total = metric[kind].total
    replica_variables.assign_array(total, np.full(shape, 2.5, "float32"))
    assert replica_variables.to_array(total) == np.full(shape, 2.5, "float32")
    assert replica_variables.to_array(total).shape == shape
    assert replica_variables.array_spec(total).shape == shape
    assert [float(copy) for copy in replica_variables.local_copies(total)] == [2.5]
    assert float(replica_variables.values([total], everywhere=True)[0]) == 2.5


def test_the_copies_of_tensorflows_own_variables_are_found_too():
    variable = tf.Variable(3.0)
    assert replica_variables.local_copies(variable) == (variable,)
    assert float(replica_variables.local_value(variable)) == 3.0
