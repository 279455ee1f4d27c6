"""Restarts Keras' numbering of layer names for each network.

Keras numbers the layers of a process: the second Dense layer is `dense_1`, whichever network it is
in. Checkpoints find variables by these names, so the names must not depend on the layers that the
process has created before. `keras.backend.clear_session` would reset more than the numbers.
Test that fails when Keras changes: tests/compat/test_layer_names.py:
test_keras_still_numbers_layers_from_where_it_is_reset.
"""

from __future__ import annotations

from keras.src.utils import naming

from fitx.compat.required_names import demand

demand(naming, "reset_uids")


def number_anew() -> None:
    """Let the next layer of each kind have the name without a number."""
    naming.reset_uids()
