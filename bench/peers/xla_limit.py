"""The arithmetic of guide/simple as one bare XLA loop, an epoch a turn: python xla_limit.py ROWS

The limit: no Keras, nothing read from Python, the batches already cut. What an epoch computes is
the same: predictions, the gradient of the mean squared error, Adam, the sums of loss and metric.
"""

import os
import statistics
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf
from turns import serve, timed

BATCH, RATE, BETA_1, BETA_2, EPSILON = 32, 1e-3, 0.9, 0.999, 1e-7


@tf.function(jit_compile=True)
def epoch(x, y, state):
    """Run every batch; return the new state and the epoch's loss and metric."""

    def step(index, parameters, first, second, total, absolute, iterations):
        inputs, targets = x[index], y[index]
        kernel, bias = parameters
        difference = inputs @ kernel + bias - targets
        slope = 2.0 / BATCH * difference
        gradients = tf.transpose(inputs) @ slope, tf.reduce_sum(slope, 0)
        time = iterations + 1.0
        rate = RATE * tf.sqrt(1 - BETA_2**time) / (1 - BETA_1**time)
        pairs = zip(first, second, gradients, strict=True)
        moments = [
            (m + (g - m) * (1 - BETA_1), v + (g * g - v) * (1 - BETA_2)) for m, v, g in pairs
        ]
        first, second = zip(*moments, strict=True)
        updates = zip(parameters, first, second, strict=True)
        parameters = tuple(p - rate * m / (tf.sqrt(v) + EPSILON) for p, m, v in updates)
        total += tf.reduce_mean(difference**2)
        absolute += tf.reduce_sum(tf.abs(difference))
        return index + 1, parameters, first, second, total, absolute, time

    start = (tf.constant(0), *state[:3], tf.constant(0.0), tf.constant(0.0), state[3])
    _, *state, total, absolute, iterations = tf.while_loop(
        lambda index, *_: index < tf.shape(x)[0], step, start
    )
    return (*state, iterations), total, absolute


def main() -> None:
    """Train whenever it is asked for."""
    rows = int(sys.argv[1])
    x = tf.random.uniform((rows // BATCH, BATCH, 32))
    y = tf.random.uniform((rows // BATCH, BATCH, 1))
    zeros = tf.zeros((32, 1)), tf.zeros((1,))
    state = (tf.random.normal((32, 1)), tf.zeros((1,))), zeros, zeros, tf.constant(0.0)

    def run() -> None:
        nonlocal state
        state, total, _ = epoch(x, y, state)
        float(total)

    def turn() -> float:
        return statistics.median(timed(run) for _ in range(20))

    serve(turn)


if __name__ == "__main__":
    main()
