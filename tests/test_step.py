"""The base class of steps: optimizers, freezing, precision, averaged weights, reserved names."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fitx.step import Step, network_names

RNG = np.random.default_rng(0)
X = RNG.random((8, 3), np.float32)
Y = X.sum(axis=1, keepdims=True)
FEED = {"epochs": 5, "steps_per_epoch": 2, "verbose": 0, "shuffle": False}


class Fitting(Step):
    """The plainest algorithm on one network, `model`."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = keras.losses.MeanSquaredError()(y, self(x, training=True))
        self.minimize(loss, tape, "model")
        return {"loss": loss}

    def test_step(self, data):
        x, y = data
        return {"loss": keras.losses.MeanSquaredError()(y, self(x, training=False))}


class Pair(Step):
    """Two networks in a row, each taking a step down the same loss."""

    def __init__(self, front, back, *, scale: float = 1.0):
        super().__init__(front=front, back=back)
        self.scale = scale

    def train_step(self, data):
        x, y = data
        for name in ("front", "back"):
            with tf.GradientTape() as tape:
                loss = self.scale * keras.losses.MeanSquaredError()(y, self.back(self.front(x)))
            self.minimize(loss, tape, name)
        return {"loss": loss}


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture
def precision():
    """Set a dtype policy, and put the old one back."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def dense(units=1, *layers):
    return keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(units)])


def pair(**optimizers):
    step = Pair(dense(3), dense())
    step.compile(optimizers)
    return step


def fit(step, epochs=1, x=X, **keywords):
    keywords = {"batch_size": 4, "verbose": 0, "shuffle": False, **keywords}
    return step.fit(x, Y, epochs=epochs, **keywords).history


def weights(network):
    return [np.array(weight) for weight in network.get_weights()]


def moved(before, network):
    return [not np.array_equal(b, a) for b, a in zip(before, weights(network), strict=True)]


def test_networks_are_the_positional_parameters_of_the_constructor():
    step = pair()

    assert network_names(Pair) == ("front", "back")
    assert network_names(Fitting) == ("model",)
    assert list(step.networks) == ["front", "back"]
    assert step.networks["back"] is step.back


@pytest.mark.parametrize("name", ["optimizer", "metrics", "layers", "name", "history", "execution"])
def test_a_network_cannot_have_a_name_that_every_step_has(name):
    with pytest.raises(ValueError) as caught:
        Step(**{name: dense()})

    text = f"a network cannot be called '{name}': every Step has that name already"
    assert str(caught.value) == text


def test_every_optimizer_is_built_on_its_own_network_before_the_first_step():
    front, back = keras.optimizers.Adam(), keras.optimizers.SGD(momentum=0.9)
    step = pair(front=front, back=back)

    # Iterations and learning rate, then two slots a variable for Adam and one for momentum.
    assert (len(front.variables), len(back.variables)) == (2 + 2 * 2, 2 + 2)
    assert (step.front_optimizer, step.back_optimizer) == (front, back)
    assert step.network_optimizers == {"front": front, "back": back}


def test_several_optimizers_leave_none_of_keras_behind():
    step = pair(front=keras.optimizers.Adam(), back=keras.optimizers.Adam())

    # Stock Keras makes an RMSprop with slots for every network.
    assert step.optimizer is None


def test_the_only_optimizer_is_also_the_optimizer():
    adam = keras.optimizers.Adam()
    step = Fitting(model=dense())
    step.compile({"model": adam})

    assert step.optimizer is step.model_optimizer is adam


def test_no_optimizer_steps_more_often_than_there_are_batches():
    step = pair(front=keras.optimizers.Adam(), back=keras.optimizers.Adam())

    def rows():
        yield from zip(X, Y, strict=True)

    spec = (tf.TensorSpec((3,)), tf.TensorSpec((1,)))
    data = tf.data.Dataset.from_generator(rows, output_signature=spec)
    step.fit(data.batch(4, drop_remainder=True).repeat(), **FEED)

    # Keras 3.15 runs a phantom step each epoch on data of unknown length.
    assert int(step.front_optimizer.iterations) == int(step.back_optimizer.iterations) == 10


def test_a_network_without_an_optimizer_is_frozen_and_the_other_moves():
    step = Pair(dense(3, keras.layers.BatchNormalization()), dense())
    step.compile({"back": keras.optimizers.SGD(0.1)})
    front, back = weights(step.front), weights(step.back)

    fit(step)

    assert not any(moved(front, step.front))
    assert all(moved(back, step.back))


def test_a_layer_that_a_network_keeps_frozen_stays_frozen():
    step = Fitting(model=dense(1, keras.layers.Dense(2, trainable=False)))
    step.compile({"model": keras.optimizers.SGD(0.1)})
    before = weights(step.model)

    fit(step)

    assert moved(before, step.model) == [False, False, True, True]


def test_without_optimizers_a_step_only_measures():
    step = Fitting(model=dense())
    step.compile({})
    expected = float(np.mean((step.model(X) - Y) ** 2))

    assert step.evaluate(X, Y, verbose=0, return_dict=True)["loss"] == pytest.approx(expected)
    assert step.optimizer is None


def test_the_only_optimizer_trains_the_variables_of_the_step_too():
    class Scaled(Fitting):
        def __init__(self, model):
            super().__init__(model=model)
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, inputs, training=False):
            return self.scale * self.model(inputs, training=training)

    step = Scaled(dense())
    step.compile({"model": keras.optimizers.SGD(0.1)})

    fit(step)

    assert float(step.scale) != 1.0


def test_batch_normalization_and_dropout_know_training_from_testing():
    step = Fitting(model=dense(1, keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)))
    step.compile({"model": keras.optimizers.SGD(0.0)})
    mean = step.model.layers[0].moving_mean
    before = np.array(mean)

    first = step.evaluate(X, Y, verbose=0, return_dict=True)
    after_test = np.array(mean)
    second = step.evaluate(X, Y, verbose=0, return_dict=True)
    fit(step)

    assert first == second
    assert np.array_equal(before, after_test)
    assert not np.array_equal(before, np.array(mean))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_minimize_trains_one_network_in_every_precision(precision, policy):
    precision(policy)
    step = Fitting(model=dense())
    step.compile({"model": keras.optimizers.SGD(0.2)})

    history = fit(step, epochs=30)["loss"]

    assert history[-1] < 0.1 * history[0]


def test_float16_scales_the_loss_of_every_optimizer(precision):
    precision("mixed_float16")
    # So small a loss has gradients that float16 rounds to zero unless they are scaled.
    step = Pair(dense(3), dense(), scale=1e-6)
    step.compile({"front": keras.optimizers.SGD(1e5), "back": keras.optimizers.SGD(1e5)})

    history = fit(step, epochs=30)["loss"]

    assert history[-1] < 0.1 * history[0]
    assert {type(o).__name__ for o in step.network_optimizers.values()} == {"LossScaleOptimizer"}


def test_a_loss_computed_in_float16_is_scaled_too(precision):
    class Halved(Fitting):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.abs(self(x) - tf.cast(y, "float16")))
            self.minimize(loss, tape, "model")
            return {"loss": loss}

    precision("mixed_float16")
    step = Halved(model=dense())
    step.compile({"model": keras.optimizers.SGD(0.05)})

    history = fit(step, epochs=15)["loss"]

    assert history[-1] < 0.5 * history[0]


def test_float16_takes_the_same_way_as_float32(precision):
    # So near the end that no scaled gradient overflows, for which a step would be left out.
    near = [np.full((3, 1), 0.9), np.zeros(1)]
    curves = []
    for policy in ("float32", "mixed_float16"):
        precision(policy)
        step = Fitting(model=dense())
        step.model.set_weights(near)
        step.compile({"model": keras.optimizers.SGD(0.1)})
        curves.append(fit(step, epochs=5)["loss"])

    assert curves[0] == pytest.approx(curves[1], rel=2e-2)


def test_averaged_weights_are_put_in_place_at_the_end_for_several_optimizers():
    averaging = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    step = pair(front=averaging, back=keras.optimizers.SGD(0.1))
    at_end = []

    class Last(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.raw = weights(self.model.front)

        def on_train_end(self, logs=None):
            at_end.extend(weights(self.model.front))

    last = Last()
    fit(step, epochs=2, callbacks=[last])
    averages = [np.array(v) for v in averaging.variables if "average" in v.path]

    # Stock Keras finalises `model.optimizer` alone, of which there is none here.
    assert all(np.array_equal(a, w) for a, w in zip(averages, weights(step.front), strict=True))
    assert all(np.array_equal(a, w) for a, w in zip(averages, at_end, strict=True))
    assert not np.array_equal(last.raw[0], at_end[0])


def test_averaged_weights_are_put_in_place_at_the_end_for_one_optimizer(precision):
    precision("mixed_float16")
    averaging = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    step = Fitting(model=dense())
    step.compile({"model": averaging})

    fit(step, epochs=2)
    averages = [np.array(v) for v in averaging.variables if "average" in v.path]

    assert all(np.array_equal(a, w) for a, w in zip(averages, weights(step.model), strict=True))


def test_the_names_of_tf_keras_2_track_the_loss_and_update_the_metrics():
    step = Fitting(model=dense())
    step.compile({}, loss="mse", metrics=["mae"])
    zeros = np.zeros_like(Y)

    loss = step.compiled_loss(Y, zeros, regularization_losses=[tf.constant(0.5)])
    step.compiled_metrics.update_state(Y, zeros)

    expected = float(np.mean(Y**2)) + 0.5
    results = {name: float(value) for name, value in step.get_metrics_result().items()}
    assert float(loss) == pytest.approx(expected)
    assert results == pytest.approx({"loss": expected, "mae": float(np.mean(np.abs(Y)))})


def test_a_step_predicts_with_its_first_network():
    step = pair()

    assert step.predict(X, verbose=0) == pytest.approx(np.asarray(step.front(X)))
