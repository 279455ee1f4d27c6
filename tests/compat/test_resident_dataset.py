"""A tf.data.Dataset with an iterator of its own."""

import keras
import numpy as np
import tensorflow as tf

from fitx.compat.resident_dataset import ResidentDataset

X = np.ones((4, 1), "float32")


def test_tensorflow_still_lets_a_dataset_have_an_iterator_of_its_own():
    batches = tf.data.Dataset.from_tensors((X, X))
    resident = ResidentDataset(batches)
    first, second = (next(iter(resident)) for _ in range(2))

    assert resident.element_spec == batches.element_spec
    assert first is second
    assert int(resident.cardinality()) == 1
    assert len(list(resident.map(lambda x, y: x))) == 1


def test_keras_still_evaluates_by_the_iterator_of_a_dataset():
    batches = ResidentDataset(tf.data.Dataset.from_tensors((X, X)))
    taken = []

    class Taking(keras.Model):
        def make_test_function(self, force=False):
            self.test_function = lambda iterator: taken.append(next(iterator)) or {}

    model = Taking()
    model.compile(loss="mse")
    for _ in range(2):
        model.evaluate(batches, steps=1, verbose=0)

    assert len(taken) == 2
    assert taken[0] is taken[1]
