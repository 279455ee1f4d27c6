"""What TensorFlow says of graphs that it cannot hand to XLA."""

import tensorflow as tf

from fitx.compat.xla_compiler import has_kernel, xla_refusal

SPEC = [tf.TensorSpec([3], tf.float32)]


def operation(kind):
    def traced():
        tf.print("x") if kind == "StringFormat" else tf.add(tf.zeros(2), 1.0)

    graph = tf.function(traced, autograph=False).get_concrete_function().graph
    return next(op for op in graph.get_operations() if op.type == kind)


def test_tensorflow_still_lists_the_kernels_of_xla():
    for device in ("cpu", "gpu"):
        assert has_kernel(operation("AddV2"), device)
        assert not has_kernel(operation("StringFormat"), device)


def test_tensorflow_still_lowers_what_xla_can_compile():
    assert xla_refusal(lambda x: tf.sin(x), SPEC) is None


def test_tensorflow_still_says_compile_time_constant_of_a_size_it_must_know():
    refusal = xla_refusal(lambda x: tf.zeros([tf.cast(x[0], tf.int32)]), SPEC)

    assert refusal is not None and refusal.is_of_unknown_size


def test_tensorflow_still_names_the_operation_that_it_cannot_lower():
    refusal = xla_refusal(lambda x: tf.zeros([tf.cast(x[0], tf.int32)], name="sized"), SPEC)

    assert refusal.node == ("sized", "Fill")
