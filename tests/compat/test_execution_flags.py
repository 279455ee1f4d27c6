"""TensorFlow's settings of a process that have no public function."""

import tensorflow as tf

from fitx.compat.execution_flags import set_determinism, uses_onednn


def test_tensorflow_still_turns_determinism_off_again():
    images = tf.ones((1, 4, 4, 1))

    def demands_seeds():
        try:
            tf.image.random_flip_left_right(images)
        except RuntimeError:
            return True
        return False

    set_determinism(True)
    on = demands_seeds()
    set_determinism(False)

    assert (on, demands_seeds()) == (True, False)


def test_tensorflow_still_tells_of_onednn():
    assert isinstance(uses_onednn(), bool)
