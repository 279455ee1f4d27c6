"""Gives each of the replicas that share a batch random numbers of its own.

Keras keeps the same state of the seed on all replicas, so the rows of each would get the same
noise. Here every replica adds a number of its own to the seeds, and dropout takes the replica's
rows of the mask that one device would have drawn for the whole batch.
Two functions of a private module are replaced while a step is traced.
Tests that fail when Keras changes: tests/compat/test_replica_random.py:
test_keras_still_draws_every_random_number_by_draw_seed and
test_keras_still_drops_by_the_dropout_of_its_backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
from keras.src.backend.tensorflow import random as keras_random

from fitx.compat.replacement import replaced
from fitx.compat.required_names import demand

demand(keras_random, "draw_seed", "dropout")

_SEED_STRIDE = 0x3C6EF372
"""Between the seeds of two replicas' random numbers; any large number would do."""


@contextmanager
def numbers_of_replicas(
    sharers: Callable[[], int],
    index: Callable[[], int],
    drawn_for_rows: Callable[[Any, Callable[[Any], Any]], Any],
) -> Iterator[None]:
    """Trace random numbers that differ between the replicas that share a batch.

    Args:
        sharers: Returns by how many replicas the batch being traced is shared.
        index: Returns the number of the replica being traced; 0 where all are to draw alike.
        drawn_for_rows: Takes this replica's number of rows and what draws for so many, and returns
            this replica's share of what is drawn for the rows of all.
    """
    draw, drop = keras_random.draw_seed, keras_random.dropout

    def draw_seed(seed: Any) -> Any:
        drawn = draw(seed)
        number = index()
        return drawn + tf.constant([number * _SEED_STRIDE, 0], drawn.dtype) if number else drawn

    def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
        inputs = tf.convert_to_tensor(inputs)
        rows = inputs.shape[0] if inputs.shape.rank else None
        per_row = noise_shape is None or noise_shape[0] == rows
        if sharers() == 1 or rows is None or not per_row or rate in (0.0, 1.0):
            return drop(inputs, rate, noise_shape, seed)

        def mask(all_rows: int) -> Any:
            tail = inputs.shape[1:] if noise_shape is None else noise_shape[1:]
            return drop(tf.ones((all_rows, *tail), inputs.dtype), rate, None, seed)

        return inputs * drawn_for_rows(rows, mask)

    with replaced(keras_random, "draw_seed", draw_seed), replaced(keras_random, "dropout", dropout):
        yield
