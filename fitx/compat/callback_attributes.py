"""The attributes in which Keras' callbacks keep their state.

Keras does not save or restore callbacks; fitx saves these attributes with each checkpoint. Some of
them exist only once training has begun, so a renamed one would be missed silently. Therefore fitx
looks for them among the names that the methods of the class use.
Tests that fail when Keras changes: tests/compat/test_callback_attributes.py:
test_keras_still_keeps_what_a_callback_learns_in_these_attributes and
test_keras_still_counts_batches_of_tensor_board_in_these_attributes.
"""

from __future__ import annotations

from types import FunctionType

from fitx.compat.required_names import refuse

TRAIN_BATCHES, TEST_BATCHES = "_global_train_batch", "_global_test_batch"
"""The attributes in which TensorBoard counts batches."""


def demand_attributes(callback: type, names: tuple[str, ...]) -> None:
    """Refuse a class of callbacks whose methods use no attributes of these names.

    Raises:
        DeviceError: One is not used; says which versions to install.
    """
    members = [member for base in callback.__mro__ for member in vars(base).values()]
    functions = [member for member in members if isinstance(member, FunctionType)]
    used = {name for function in functions for name in function.__code__.co_names}
    for name in names:
        if name not in used:
            refuse(callback, name)
