"""Operations that XLA cannot compile are found by TensorFlow itself."""

import keras
import pytest
import tensorflow as tf
from keras import layers

from fitx.engine.modes.xla_support import find_obstacle
from fitx.step import Step
from fitx.steps.gan import GAN
from fitx.steps.low_level import LowLevel
from fitx.steps.supervised import Supervised

SIZE = 4
SIZES = "whose sizes must be known before it runs"


def sequential(shape, *inner, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *inner, layers.Dense(1)])


def attention():
    x = keras.Input((6, 8))
    y = layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(x, x))
    return keras.Model(x, layers.Dense(1)(layers.Flatten()(y)))


def traced(network, size=None, step=Supervised):
    """Return a step traced for batches of any size, or of this one."""
    step = step(network)
    loss = {"loss": "mse", "metrics": ["mae"]} if isinstance(step, Supervised) else {}
    step.compile({"model": keras.optimizers.Adam()}, **loss)
    x = tf.TensorSpec((size, *network.input_shape[1:]), network.inputs[0].dtype)
    step.execution.step_graphs["train"].graph((x, tf.TensorSpec((size, 1))))
    return step


def verdict(step):
    """Return the operation that XLA cannot compile, and why; None if it can compile all."""
    found = find_obstacle(step.execution.step_graphs["train"].newest, SIZE, "cpu")
    return found and (found.operation.type, found.reason)


def of_function(function, *shape, size=None):
    """Return the verdict on a step that computes a function of `x`."""

    class Computing(Step):
        def train_step(self, x):
            return {"loss": tf.reduce_sum(tf.cast(function(x), "float32"))}

    step = Computing(model=sequential((3,)))
    step.compile({})
    step.execution.step_graphs["train"].graph(tf.TensorSpec((size, *shape)))
    return verdict(step)


COMPILABLE = {
    "dense": lambda: sequential(
        (8,),
        layers.Dense(4, "relu"),
        layers.BatchNormalization(),
        layers.Dropout(0.3),
        layers.LayerNormalization(),
        layers.GaussianNoise(0.1),
    ),
    "convolutions": lambda: sequential(
        (8, 8, 1),
        layers.Conv2D(2, 3),
        layers.Conv2DTranspose(2, 3, strides=2),
        layers.SeparableConv2D(2, 3),
        layers.MaxPooling2D(),
        layers.GlobalAveragePooling2D(),
    ),
    "attention": attention,
    "embedding": lambda: sequential(
        (6,), layers.Embedding(10, 4), layers.GlobalMaxPooling1D(), dtype="int32"
    ),
    "augmentation": lambda: sequential(
        (8, 8, 3),
        layers.RandomFlip(),
        layers.RandomContrast(0.1),
        layers.RandomBrightness(0.1),
        layers.RandomCrop(6, 6),
        layers.Flatten(),
    ),
    "normalization": lambda: sequential((8,), layers.Normalization(mean=0.0, variance=1.0)),
}


@pytest.mark.parametrize("name", COMPILABLE)
def test_ordinary_layers_can_be_compiled(name):
    assert verdict(traced(COMPILABLE[name]())) is None


@pytest.mark.parametrize("step", [Supervised, LowLevel])
def test_what_can_be_compiled_really_compiles_and_runs(step):
    step = traced(COMPILABLE["dense"](), step=step)
    assert verdict(step) is None
    graph = step.execution.step_graphs["train"].newest
    data = tf.ones((SIZE, 8)), tf.ones((SIZE, 1))
    values = tf.function(lambda *batch: graph(batch), autograph=False, jit_compile=True)(*data)
    assert values["loss"] > 0


def test_the_gan_of_two_convolutional_networks_can_be_compiled():
    judge = sequential((8, 8, 1), layers.Conv2D(2, 3, strides=2), layers.Flatten())
    maker = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(32),
            layers.Reshape((4, 4, 2)),
            layers.Conv2DTranspose(1, 4, strides=2, padding="same"),
        ]
    )
    step = GAN(judge, maker, seed=0)
    step.compile({name: keras.optimizers.Adam() for name in ("discriminator", "generator")})
    step.execution.step_graphs["train"].graph(tf.TensorSpec((None, 8, 8, 1)))
    assert verdict(step) is None


RECURRENT = [layers.LSTM, layers.GRU, layers.SimpleRNN]


@pytest.mark.parametrize("layer", RECURRENT)
def test_recurrent_layers_can_be_compiled_for_batches_of_one_size(layer):
    assert verdict(traced(sequential((6, 3), layer(4)), SIZE)) is None


@pytest.mark.parametrize("layer", RECURRENT)
def test_recurrent_layers_cannot_be_compiled_for_batches_of_any_size(layer):
    operation, reason = verdict(traced(sequential((6, 3), layer(4))))
    assert operation == "BroadcastGradientArgs"
    assert reason == SIZES


@pytest.mark.parametrize(
    ("operation", "shape", "dtype", "inner"),
    [
        ("ImageProjectiveTransformV3", (8, 8, 3), "float32", lambda: layers.RandomRotation(0.1)),
        ("ImageProjectiveTransformV3", (8, 8, 3), "float32", lambda: layers.RandomZoom(0.1)),
        ("StatelessRandomGammaV3", (8, 8, 3), "float32", layers.CutMix),
        ("AsString", (8,), "int32", lambda: layers.Hashing(5)),
        ("LookupTableFindV2", (8,), "int64", lambda: layers.IntegerLookup(vocabulary=[1, 2])),
        ("LookupTableFindV2", (8,), "string", lambda: layers.StringLookup(vocabulary=["a"])),
    ],
)
def test_layers_with_operations_that_xla_does_not_know_are_found(operation, shape, dtype, inner):
    step = traced(sequential(shape, inner(), layers.Flatten(), dtype=dtype))
    assert verdict(step) == (operation, "which it does not support")


@pytest.mark.parametrize(
    ("operation", "function"),
    [
        ("EagerPyFunc", lambda x: tf.py_function(lambda a: a, [x], "float32")),
        ("PyFunc", lambda x: tf.numpy_function(lambda a: a, [x], "float32")),
        ("AsString", lambda x: tf.strings.length(tf.strings.as_string(x))),
    ],
)
def test_python_and_strings_inside_a_step_are_found(operation, function):
    assert of_function(function, 3) == (operation, "which it does not support")


def test_an_operation_is_found_inside_branches_and_loops():
    def asks_python(x):
        return tf.py_function(lambda a: a, [x], "float32")

    def branched(x):
        return tf.cond(x[0, 0] > 0, lambda: tf.reduce_sum(asks_python(x)), lambda: x[0, 0])

    def looped(x):
        return tf.map_fn(lambda row: tf.ensure_shape(asks_python(row), (3,)), x)

    def switched(x):
        made = [lambda: x[0, 0], lambda: tf.reduce_sum(asks_python(x))]
        return tf.switch_case(tf.cast(x[0, 0], "int32"), made)

    for function in (branched, looped, switched):
        assert of_function(function, 3) == ("EagerPyFunc", "which it does not support")


def test_a_size_that_depends_on_values_is_found():
    found = of_function(lambda x: tf.range(tf.cast(x[0, 0], "int32")), 3, size=SIZE)
    assert found == ("Range", SIZES)


def test_assertions_and_rows_picked_by_value_can_be_compiled():
    def asserted(x):
        with tf.control_dependencies([tf.debugging.assert_greater(x, 0.0, message="too low")]):
            return tf.boolean_mask(x, x > 0)

    assert of_function(asserted, 3) is None


def test_asking_changes_nothing_that_the_step_computes():
    step = traced(COMPILABLE["dense"]())
    variables = [*step.variables, *step.model_optimizer.variables]
    before = [tf.identity(variable.value) for variable in variables]
    assert verdict(step) is None
    for variable, value in zip(variables, before, strict=True):
        assert tf.reduce_all(variable == value)


def test_a_step_of_a_user_is_judged_like_a_shipped_one():
    class Printing(Step):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
            tf.print(loss)
            self.minimize(loss, tape, "model")
            return {"loss": loss}

    step = Printing(model=sequential((3,)))
    step.compile({"model": keras.optimizers.SGD()})
    step.execution.step_graphs["train"].graph((tf.TensorSpec((None, 3)), tf.TensorSpec((None, 1))))
    assert verdict(step) == ("StringFormat", "which it does not support")
