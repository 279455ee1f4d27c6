"""A tf.data.Dataset of one element whose iterator is created once and reused.

Keras' `evaluate` takes batches from a tf.data.Dataset and creates an iterator each time, which
takes longer than a small evaluation. A subclass of the dataset can return an iterator of its own,
if it passes on the private tensor and the private list of inputs by which TensorFlow identifies a
dataset.
Tests that fail when Keras or TensorFlow changes: tests/compat/test_resident_dataset.py:
test_tensorflow_still_lets_a_dataset_have_an_iterator_of_its_own and
test_keras_still_evaluates_by_the_iterator_of_a_dataset.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from fitx.compat.required_names import demand


class ResidentDataset(tf.data.Dataset):
    """The first element of a dataset, over and over, made once.

    Args:
        dataset: Whose first element it is; the spec of the elements is the same.
    """

    def __init__(self, dataset: tf.data.Dataset) -> None:
        demand(dataset, "_variant_tensor", "_inputs")
        self._dataset = dataset
        self._endless = itertools.repeat(next(iter(dataset)))
        super().__init__(dataset._variant_tensor)

    def __iter__(self) -> Iterator[Any]:
        return self._endless

    @property
    def element_spec(self) -> Any:
        """The spec of the element."""
        return self._dataset.element_spec

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._dataset]
