"""Replaces TensorFlow's stateful random operations by ones whose position checkpoints save.

`tf.random.normal`, `tf.random.uniform`, `tf.nn.dropout` and others keep their position in the
stream of random numbers inside the operation, where it cannot be read: a resumed run would draw
other numbers. While a step is traced, each of them gets a variable for its position instead.
Normal, truncated normal and uniform numbers, of integers too, stay the same to the bit;
permutations, and numbers of categorical, gamma and Poisson distributions, are others.
Eight functions of a private module are replaced while a step is traced.
Tests that fail when TensorFlow changes: tests/compat/test_stateful_random.py:
test_numbers_are_the_same_to_the_bit_call_after_call, for each operation, and
test_tensorflow_still_draws_by_its_functions_of_random_operations.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import gen_random_ops

from fitx.compat.function_graphs import graphs_being_traced, operations
from fitx.compat.lifted_variables import lifted_variables
from fitx.compat.replacement import replaced
from fitx.compat.required_names import demand

_PHILOX = 1
"""The algorithm by which TensorFlow's operations draw, as its own number for it."""

_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")


class Streams:
    """The places that the random operations of one step have reached in their streams.

    All graphs of the step share these: the first operation of each uses the first stream, so that a
    batch goes on where the one before it stopped, whichever graph took that.

    Args:
        name: The prefix of the names of their variables.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._generators: list[tf.random.Generator] = []
        self._counts: dict[Any, int] = {}
        self._is_eager = False

    @contextmanager
    def used(self, *, eagerly: bool = False) -> Iterator[None]:
        """Let TensorFlow's random operations draw from these streams, in what is traced.

        Args:
            eagerly: Whether one batch is run as Python instead.
        """
        self._is_eager = eagerly
        with ExitStack() as stack:
            for name, draw in _DRAWING.items():
                drawing = partial(self._draw, getattr(gen_random_ops, name), draw)
                stack.enter_context(replaced(gen_random_ops, name, drawing))
            stack.callback(self._counts.clear)
            yield

    def _draw(
        self,
        original: Callable[..., Any],
        draw: Callable[..., Any],
        *args: Any,
        seed: int | None = 0,
        seed2: int | None = 0,
        name: str | None = None,
        **keywords: Any,
    ) -> Any:
        graphs = list(graphs_being_traced())
        if not graphs and not self._is_eager:
            # Such as for the first values of a variable.
            return original(*args, seed=seed, seed2=seed2, name=name, **keywords)
        with tf.name_scope(name or original.__name__):
            return draw(self._next(graphs, seed or 0, seed2 or 0), *args, **keywords)

    def _next(self, graphs: list[Any], *seeds: int) -> tf.random.Generator:
        # The last is that of the step, which may be traced twice; others those of loops and such.
        step = graphs[-1] if graphs else None
        index = self._counts.get(step, 0)
        self._counts[step] = index + 1
        if index == len(self._generators):
            self._generators.append(_generator(f"{self._name}/drawn_{index}", *seeds))
        for graph in graphs:
            # A graph does not keep the variables that it captures, and may outlive its step.
            graph.add_to_collection("fitx/drawn_from", self._generators[index])
        return self._generators[index]


def hidden(graph: Any) -> list[tf.Operation]:
    """Return the operations of a traced step whose state cannot be saved.

    These are random ones that keep for themselves how far they have drawn, and calls of Python.
    """
    return [op for op in operations(graph.graph) if op.type in _PYTHON or _keeps_its_place(op)]


def calls_python(operation: tf.Operation) -> bool:
    """Return whether an operation calls a function of Python."""
    return operation.type in _PYTHON


def _keeps_its_place(op: tf.Operation) -> bool:
    names = {attribute.name for attribute in op.op_def.attr}
    # A recurrent layer's kernel has seeds for a dropout that it need not do.
    is_drawing = "dropout" not in names or op.get_attr("dropout") > 0
    return {"seed", "seed2"} <= names and is_drawing


def _generator(name: str, seed: int, seed2: int) -> tf.random.Generator:
    """Return what draws what an operation with these seeds draws."""
    if seed == seed2 == 0:
        # Which TensorFlow takes for none, and draws what no other run will.
        seed = secrets.randbits(63)
    with lifted_variables(), tf.compat.v1.name_scope(""):
        state = tf.Variable([0, seed2, seed], dtype=tf.int64, trainable=False, name=name)
        return tf.random.Generator.from_state(state, alg=_PHILOX)


def _draw_position(generator: tf.random.Generator, shape: Any) -> dict[str, Any]:
    """Return where a stream stands, as operations take it, and move it on by so many numbers."""
    state = tf.cast(generator.skip(tf.reduce_prod(tf.cast(shape, tf.int64))), tf.uint64)
    return {"shape": shape, "key": state[2:], "counter": state[:2], "alg": _PHILOX}


def _bits(generator: tf.random.Generator, shape: Any) -> Any:
    position = _draw_position(generator, shape)
    return tf.raw_ops.StatelessRandomUniformFullIntV2(**position, dtype=tf.int32)


def _normal(generator: tf.random.Generator, shape: Any, dtype: Any) -> Any:
    return tf.raw_ops.StatelessRandomNormalV2(**_draw_position(generator, shape), dtype=dtype)


def _truncated(generator: tf.random.Generator, shape: Any, dtype: Any) -> Any:
    return tf.raw_ops.StatelessTruncatedNormalV2(**_draw_position(generator, shape), dtype=dtype)


def _uniform(generator: tf.random.Generator, shape: Any, dtype: Any) -> Any:
    return tf.raw_ops.StatelessRandomUniformV2(**_draw_position(generator, shape), dtype=dtype)


def _integers(generator: tf.random.Generator, shape: Any, minval: Any, maxval: Any) -> Any:
    position = _draw_position(generator, shape)
    return tf.raw_ops.StatelessRandomUniformIntV2(**position, minval=minval, maxval=maxval)


def _shuffled(generator: tf.random.Generator, value: Any) -> Any:
    # By sorting random numbers: XLA does not know TensorFlow's stateless operation for it.
    order = tf.argsort(_bits(generator, tf.shape(value)[:1]), stable=True)
    return tf.gather(value, order)


def _categorical(
    generator: tf.random.Generator, logits: Any, num_samples: Any, output_dtype: Any = tf.int64
) -> Any:
    # By inversion: an operation of TensorFlow would draw others than earlier versions of fitx.
    ends = tf.cumsum(tf.nn.softmax(tf.cast(logits, tf.float32)), axis=1)
    places = _uniform(generator, tf.stack([tf.shape(ends)[0], num_samples]), tf.float32)
    indices = tf.searchsorted(ends, places * ends[:, -1:], side="right")
    return tf.cast(indices, output_dtype)


def _gamma(generator: tf.random.Generator, shape: Any, alpha: Any) -> Any:
    full_shape = tf.concat([shape, tf.shape(alpha)], axis=0)
    return tf.random.stateless_gamma(full_shape, _bits(generator, [2]), alpha, dtype=alpha.dtype)


def _poisson(generator: tf.random.Generator, shape: Any, rate: Any, dtype: Any = tf.int64) -> Any:
    rate = tf.convert_to_tensor(rate)
    full_shape = tf.concat([shape, tf.shape(rate)], axis=0)
    return tf.random.stateless_poisson(full_shape, _bits(generator, [2]), rate, dtype)


_DRAWING: dict[str, Callable[..., Any]] = {
    "random_standard_normal": _normal,
    "truncated_normal": _truncated,
    "random_uniform": _uniform,
    "random_uniform_int": _integers,
    "random_shuffle": _shuffled,
    "multinomial": _categorical,
    "random_gamma": _gamma,
    "random_poisson_v2": _poisson,
}
"""The replacements of random operations, by the names under which TensorFlow calls them."""

demand(gen_random_ops, *_DRAWING)
