"""Sample weights and labels meet the numbers of their own examples."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.losses import loss as keras_loss

from fitx.step import Step

N = 6
"""Examples in a batch, as many as there are points in time: their axes could be mixed up."""


class Measuring(Step):
    """Logs the loss of a batch, as a plugin computes it."""

    def test_step(self, data):
        x, y, *weight = data
        loss = self.compute_loss(y=y, y_pred=x, sample_weight=weight[0] if weight else None)
        return {"loss": loss}


def measure(*arrays, loss="mse", batch=N, **options):
    """What a step logs of batches (prediction, y) or (prediction, y, weight)."""
    step = Measuring(model=keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    step.compile({}, loss=loss, **options)
    data = tf.data.Dataset.from_tensor_slices(arrays).batch(batch, drop_remainder=batch == N)
    return step.evaluate(data.repeat(), steps=-(-N // batch), verbose=0, return_dict=True)["loss"]


def drawn(*shapes):
    rng = np.random.default_rng(0)
    return [rng.random(shape, np.float32) for shape in shapes]


@pytest.mark.parametrize("batch", [N, 4], ids=["as many as times", "a short last one"])
@pytest.mark.parametrize("one", [(), (1,)], ids=["n", "n x 1"])
@pytest.mark.parametrize("inner", [(), (1,), (N, 1), (N,), (N, 4, 3), (5, 1, 1)])
def test_a_weight_for_each_example_counts_for_all_of_its_values(inner, one, batch):
    if batch == 4 and inner == () and one == (1,):
        one = ()
    prediction, y, weight = drawn((N, *inner), (N, *inner), (N, *one))
    square = (prediction - y) ** 2
    expected = np.mean(square.reshape(N, -1).mean(axis=1) * weight.reshape(N))

    assert measure(prediction, y, weight, batch=batch) == pytest.approx(expected, rel=1e-5)


def test_weights_for_each_point_in_time_count_for_it():
    prediction, y, weight = drawn((N, N, 3), (N, N, 3), (N, N))
    expected = np.mean(((prediction - y) ** 2).mean(axis=-1) * weight)

    assert measure(prediction, y, weight) == pytest.approx(expected, rel=1e-5)
    pixels, truth = drawn((N, N, N, 2), (N, N, N, 2))
    by_row = np.mean(((pixels - truth) ** 2).mean(axis=(-1, -2)) * weight)
    assert measure(pixels, truth, weight) == pytest.approx(by_row, rel=1e-5)


def test_class_numbers_of_points_in_time_take_weights_for_each_example():
    scores, weight = drawn((N, N, 3), (N,))
    y = np.random.default_rng(1).integers(0, 3, (N, N))
    p = scores / scores.sum(axis=-1, keepdims=True)
    values = -np.log(np.take_along_axis(p, y[..., None], -1)[..., 0])

    found = measure(p, y, weight, loss="sparse_categorical_crossentropy")

    assert found == pytest.approx(np.mean(values.mean(axis=1) * weight), rel=1e-5)


@pytest.mark.parametrize(
    ("prediction", "weight"), [((N, 5, 2), (N, N)), ((N, N), (N, N)), ((N, 4, 4, 1), (N, 4, 2))]
)
def test_weights_that_fit_no_value_of_the_loss_are_refused(prediction, weight):
    with pytest.raises(ValueError, match="sample_weight has shape .* one weight for each example"):
        measure(*drawn(prediction, prediction, weight))


@pytest.mark.parametrize(
    ("y", "prediction"), [((N,), (N, N)), ((N, N), (N, N, 3)), ((N,), (N, 1, 1))]
)
def test_labels_that_would_be_compared_with_other_examples_are_refused(y, prediction):
    with pytest.raises(ValueError, match="y has shape .* would compare an example with others"):
        measure(*drawn(prediction, y))


@pytest.mark.parametrize(("y", "prediction"), [((N,), (N, 1)), ((N, 1), (N,)), ((N, N), (N, N, 1))])
def test_a_last_axis_of_one_makes_no_difference(y, prediction):
    arrays = drawn(prediction, y)
    expected = np.mean((arrays[0].reshape(N, -1) - arrays[1].reshape(N, -1)) ** 2)

    assert measure(*arrays) == pytest.approx(expected, rel=1e-5)


def test_keras_is_as_it_was_once_a_step_is_traced():
    arrays = drawn((N, N, 1), (N, N, 1), (N,))
    before = keras.losses.MeanSquaredError()(*arrays[:2], sample_weight=arrays[2])

    measure(*arrays)

    assert float(keras.losses.MeanSquaredError()(*arrays[:2], sample_weight=arrays[2])) == float(
        before
    )


def test_keras_still_multiplies_weights_in_reduce_weighted_values(monkeypatch):
    weights = []

    def reduce(values, sample_weight=None, **options):
        weights.append((tuple(values.shape), tuple(sample_weight.shape), sorted(options)))
        return keras.ops.sum(values)

    monkeypatch.setattr(keras_loss, "reduce_weighted_values", reduce)
    y = np.ones((3, 2), "float32")
    keras.losses.MeanSquaredError()(y, y, sample_weight=np.ones(3, "float32"))

    assert weights == [((3,), (3,), ["dtype", "mask", "reduction"])]
