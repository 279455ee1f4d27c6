"""TensorFlow's settings of a process that have no public function."""

import tensorflow as tf

from fitx.compat.execution_flags import set_determinism, uses_onednn


def test_tensorflow_still_turns_determinism_off_again():
    def refuses_to_draw_a_seed():
        try:
            tf.random.Generator.from_non_deterministic_state()
        except RuntimeError:
            return True
        return False

    set_determinism(True)
    on = refuses_to_draw_a_seed()
    set_determinism(False)

    assert (on, refuses_to_draw_a_seed()) == (True, False)


def test_tensorflow_still_tells_of_onednn():
    assert isinstance(uses_onednn(), bool)
