"""Whose error it is: what each kind of failure while steps run becomes."""

import pytest
import tensorflow as tf

from fitx.build.blame import user_errors
from fitx.errors import DataError, DeviceError, UserCodeError

TABLE = (
    "model={name: sequential, layers: [{name: embedding, input_dim: 3, output_dim: 1}, flatten]}"
)
LOOKING_UP = """
    import tensorflow as tf

    from fitx import steps
    from fitx.step import Step


    @steps.register
    class Own(Step):
        def train_step(self, data):
            far = tf.cast(tf.reduce_sum(data[0]), tf.int32) + 100
            return {"found": tf.gather(tf.range(3), far)}
"""


def test_running_out_of_memory_is_the_machines(written):
    experiment = written()

    with pytest.raises(DeviceError) as caught, user_errors(experiment):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor\n[[node]]")

    assert str(caught.value) == (
        "out of memory: OOM when allocating tensor. Lower data.batch_size, or the networks' size."
    )


def test_numbers_that_an_operation_refuses_are_the_datas(trained, arrays):
    word = arrays(x=[[0, 1], [2, 3]], y=[[0.0, 1.0], [1.0, 0.0]])

    with pytest.raises(DataError) as caught:
        trained(word, TABLE, "loss=mse")

    text = "the step cannot take a batch: indices[1,1] = 3 is not in [0, 3)."
    assert str(caught.value) == text


def test_what_fails_inside_the_graph_of_a_plugin_is_the_users(trained):
    with pytest.raises(UserCodeError) as caught:
        trained("step=own", "~loss", own=LOOKING_UP)

    assert str(caught.value).startswith("InvalidArgumentError: indices = 1")
    assert "\n" not in str(caught.value)
    assert "own.py" in caught.value.frames
    assert "fitx/" not in caught.value.frames


def test_what_fails_in_fitx_itself_passes(written):
    experiment = written()

    with pytest.raises(ZeroDivisionError), user_errors(experiment):
        raise ZeroDivisionError
