"""Whose error it is: what each kind of failure while steps run becomes."""

import pytest
import tensorflow as tf

from fitx.build.error_attribution import user_errors
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

    assert str(caught.value).startswith("out of memory: OOM when allocating tensor. This process ")


@pytest.mark.parametrize("mode", ["plain", "fused"])
def test_numbers_that_an_operation_refuses_are_the_datas(trained, arrays, mode):
    word = arrays(x=[[0, 1], [2, 3]], y=[[0.0, 1.0], [1.0, 0.0]])

    with pytest.raises(DataError) as caught:
        trained(word, TABLE, "loss=mse", f"execution.mode={mode}")

    text = "train_step on the train split cannot take a batch: indices[1,1] = 3 is not in [0, 3)."
    assert str(caught.value) == text


@pytest.mark.parametrize("mode", ["plain", "fused"])
def test_what_fails_inside_the_graph_of_a_plugin_is_the_users(trained, mode):
    with pytest.raises(UserCodeError) as caught:
        trained("step=own", "~loss", f"execution.mode={mode}", own=LOOKING_UP)

    assert str(caught.value).startswith(
        "train_step on the train split: InvalidArgumentError: indices = 1"
    )
    assert "\n" not in str(caught.value)
    assert "own.py" in caught.value.frames
    assert "fitx/" not in caught.value.frames


@pytest.mark.parametrize("mode", ["plain", "fused"])
@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_train_batch_end"])
def test_what_a_callback_raises_is_not_said_to_be_the_steps(trained, hook, mode):
    own = f"""
        import keras

        from fitx import callbacks


        @callbacks.register
        class Own(keras.callbacks.Callback):
            def {hook}(self, number=0, logs=None):
                raise KeyError("of the callback")
    """

    with pytest.raises(UserCodeError) as caught:
        trained("callbacks=[own]", f"execution.mode={mode}", own=own)

    assert str(caught.value) == "KeyError: 'of the callback'"


def test_what_fails_in_fitx_itself_passes(written):
    experiment = written()

    with pytest.raises(ZeroDivisionError), user_errors(experiment):
        raise ZeroDivisionError


ASKING = """
    import keras
    import tensorflow as tf

    from fitx import steps
    from fitx.step import Step


    @steps.register
    class Own(Step):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            {line}
                self.minimize(loss, tape, "model")
            return {{"loss": loss}}
"""
A_BOOL = (
    "OperatorNotAllowedInGraphError: Using a symbolic `tf.Tensor` as a Python `bool` is not "
    "allowed. Python's `if` runs once, while the step is traced: use keras.ops.where, "
    "keras.ops.cond or tf.cond."
)
NO_VALUES = "A step's tensors have no values while it is traced: use keras.ops or tf."


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("if loss > 0.5:", A_BOOL),
        ("while keras.ops.max(x) > 0.5:", A_BOOL),
        (
            "for row in x:",
            "OperatorNotAllowedInGraphError: Iterating over a symbolic `tf.Tensor` is not allowed. "
            "Python's `for` runs once, while the step is traced: use tf.while_loop, "
            "tf.map_fn or keras.ops.fori_loop.",
        ),
        (
            "if float(loss) > 0.5:",
            "TypeError: float() argument must be a string or a real number, not 'SymbolicTensor'. "
            + NO_VALUES,
        ),
        (
            "if loss.numpy() > 0.5:",
            f"AttributeError: 'SymbolicTensor' object has no attribute 'numpy'. {NO_VALUES}",
        ),
    ],
)
def test_python_that_asks_for_a_tensors_value_is_shown_with_what_to_write_instead(
    trained, line, text
):
    with pytest.raises(UserCodeError) as caught:
        trained("step=own", "~loss", own=ASKING.format(line=line))

    assert str(caught.value) == f"train_step on the train split: {text}"
    assert caught.value.frames == f'  File "own.py", line 14, in train_step\n    {line}'
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("mode", ["plain", "fused", "fused_xla"])
def test_the_choice_that_is_advised_trains_in_every_mode(trained, mode):
    source = ASKING.replace('{line}\n                self.minimize(loss, tape, "model")', "{line}")
    line = "tf.cond(loss {} 0, lambda: self.minimize(loss, tape, 'model'), lambda: None)"
    words = "step=own", "~loss", "fit.epochs=20", f"execution.mode={mode}"

    moving = trained(*words, own=source.format(line=line.format(">"))).column("loss")
    still = trained(*words, own=source.format(line=line.format("<"))).column("loss")

    assert moving[-1] < moving[0] / 1.3
    assert still[-1] == pytest.approx(still[0])
